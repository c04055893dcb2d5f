//! Chains of pipelines: the order they are taken in, and that none waits for itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::{Code, Error};

use super::diagnose::{Place, Read, Report, Reported};

/// That one pipeline reads what another commits.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) reader: String,
    pub(super) upstream: String,
    /// Where that is said.
    pub(super) place: Place,
}

/// Numbers of pipelines, counted in the order of the file.
type Numbers = BTreeSet<usize>;
/// For each pipeline that there is something to say of, the others.
type Graph = BTreeMap<usize, Numbers>;

/// The numbers of all pipelines `names`, which are in the order of the file, in the order to take
/// them: next is always the first of the file whose upstreams have all been.
pub(super) fn order(names: &[&str], links: &[Link], report: &mut Report<'_>) -> Read<Vec<usize>> {
    let numbers: BTreeMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let number = |name: &str| numbers.get(name).copied();
    let mut upstreams = Graph::new();
    let mut numbered = Vec::with_capacity(links.len());
    for link in links {
        let (Some(reader), Some(upstream)) = (number(&link.reader), number(&link.upstream)) else {
            continue;
        };
        upstreams.entry(reader).or_default().insert(upstream);
        numbered.push((reader, upstream, &link.place));
    }
    let order = sorted(names.len(), &upstreams);
    if order.len() == names.len() {
        return Ok(order);
    }
    // Whoever could be taken is in no circle.
    for number in order {
        upstreams.remove(&number);
    }
    report_cycles(names, &upstreams, &numbered, report);
    Err(Reported)
}

/// The order of pipelines 0 to `count`, without those that wait for themselves and their readers.
fn sorted(count: usize, upstreams: &Graph) -> Vec<usize> {
    let mut waits_for = upstreams.clone();
    let mut readers = Graph::new();
    for (reader, upstreams) in upstreams {
        for upstream in upstreams {
            readers.entry(*upstream).or_default().insert(*reader);
        }
    }
    let mut ready: Numbers = (0..count).filter(|number| !upstreams.contains_key(number)).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for reader in readers.get(&next).into_iter().flatten() {
            let Some(left) = waits_for.get_mut(reader) else { continue };
            left.remove(&next);
            if left.is_empty() {
                ready.insert(*reader);
            }
        }
    }
    order
}

/// Reports circles, each once, until every link that is part of one has been shown. There may be
/// far more circles than links, so a circle of which all links have been shown is passed over.
fn report_cycles(
    names: &[&str],
    upstreams: &Graph,
    links: &[(usize, usize, &Place)],
    report: &mut Report<'_>,
) {
    let mut shown = BTreeSet::new();
    for (reader, upstream, place) in links {
        if report.is_full() {
            return;
        }
        if shown.contains(&(*reader, *upstream)) {
            continue;
        }
        let Some(way) = shortest_way(upstreams, *upstream, *reader) else { continue };
        let circle = [&[*reader], way.as_slice()].concat();
        shown.extend(circle.iter().copied().zip(circle.iter().copied().skip(1)));
        let words: Vec<&str> =
            circle.iter().filter_map(|number| names.get(*number).copied()).collect();
        report.add((*place).clone(), "closes the circle", cycle(&words));
    }
}

fn cycle(circle: &[&str]) -> Error {
    let message = match circle {
        [name, _] => format!("pipeline `{name}` reads from itself: `{}`", circle.join(" → ")),
        _ => format!("pipelines read from each other in a circle: `{}`", circle.join(" → ")),
    };
    Error::new(Code::Cycle, message)
        .note("`a → b` means that `a` reads what `b` commits")
        .hint("take one of these sources out, or let it read files: `path` instead of `pipeline`")
}

/// The pipelines from `from` upstream to `to`, both included; as few as possible.
fn shortest_way(upstreams: &Graph, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut came_from = BTreeMap::from([(from, from)]);
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        if at == to {
            break;
        }
        for upstream in upstreams.get(&at).into_iter().flatten() {
            came_from.entry(*upstream).or_insert_with(|| {
                next.push_back(*upstream);
                at
            });
        }
    }
    let mut way = vec![to];
    let mut at = to;
    // Where the way begins, it came from itself.
    while let Some(before) = came_from.get(&at).copied() {
        if before == at {
            way.reverse();
            return Some(way);
        }
        way.push(before);
        at = before;
    }
    None
}
