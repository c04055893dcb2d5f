//! The order that pipelines are taken in, and circles of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::config::chains::{self, Link};
use crate::config::diagnose::Report;

/// A configuration of pipelines, each with those it reads from, in the order of the file.
fn project_of(pipelines: &[(&str, &[&str])]) -> String {
    let tables = pipelines.iter().map(|(name, upstreams)| {
        let table = format!("pipeline.{name}");
        let source = |(at, upstream): (usize, &&str)| {
            format!("[{table}.source.t{at}]\npipeline = \"{upstream}\"\n")
        };
        let sources: Vec<_> = upstreams.iter().enumerate().map(source).collect();
        format!(
            "[{table}]\nwindow = {{ size = \"1d\" }}\n\
             [{table}.source.raw]\npath = \"raw\"\nevent_time = \"at\"\n{}\
             [[{table}.step]]\nname = \"x\"\nsql = \"SELECT 1\"\n\
             [{table}.output.x]\npath = \"out_{name}/dt={{start:%Y-%m-%d}}\"\n",
            sources.concat()
        )
    });
    format!("version = 1\n{}", tables.collect::<String>())
}

fn order_of(pipelines: &[(&str, &[&str])]) -> Vec<String> {
    let project = load_with(&project_of(pipelines), &[]).unwrap();
    project.pipelines.iter().map(|pipeline| pipeline.name.to_string()).collect()
}

/// The circles that are told, `a → b → a`; nothing else is.
fn circles(errors: Vec<Error>) -> Vec<String> {
    assert!(errors.iter().all(|error| error.code() == Code::Cycle), "{errors:#?}");
    let circle = |error: Error| {
        let (_, behind) = error.message().split_once(": `").unwrap();
        behind.trim_end_matches('`').to_owned()
    };
    errors.into_iter().map(circle).collect()
}

#[test]
fn each_comes_after_those_it_reads_from_and_otherwise_as_in_the_file() {
    type Case = (&'static [(&'static str, &'static [&'static str])], &'static str);
    let cases: &[Case] = &[
        (&[("b", &[]), ("a", &[]), ("c", &[])], "b a c"),
        (&[("a", &[]), ("b", &["a"]), ("c", &["b"])], "a b c"),
        (&[("c", &["b"]), ("b", &["a"]), ("a", &[])], "a b c"),
        (&[("x", &[]), ("b", &["a"]), ("y", &[]), ("a", &[]), ("z", &[])], "x y a b z"),
        (&[("d", &["b", "c"]), ("c", &["a"]), ("b", &["a"]), ("a", &[])], "a c b d"),
        (&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["c", "b"])], "a b c d"),
        (&[("b", &["a", "a"]), ("a", &[])], "a b"),
    ];
    for (pipelines, order) in cases {
        assert_eq!(order_of(pipelines).join(" "), *order, "{pipelines:?}");
    }
}

#[test]
fn a_circle_is_told_whole_and_once_where_it_is_closed() {
    type Case = (&'static [(&'static str, &'static [&'static str])], &'static [&'static str]);
    let cases: &[Case] = &[
        (&[("a", &["a"])], &["a → a"]),
        (&[("b", &["a"]), ("a", &["b"])], &["b → a → b"]),
        (&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])], &["a → b → c → a"]),
        // Twice over is the same circle.
        (&[("a", &["b", "b"]), ("b", &["a"])], &["a → b → a"]),
        // Neither what feeds a circle nor what reads from it is part of it.
        (&[("in", &[]), ("a", &["b", "in"]), ("b", &["a", "in"]), ("out", &["a"])], &["a → b → a"]),
        // Two apart, two that share a pipeline, and two that share a link.
        (
            &[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])],
            &["a → b → a", "c → d → c"],
        ),
        (&[("a", &["b", "c"]), ("b", &["a"]), ("c", &["a"])], &["a → b → a", "a → c → a"]),
        (&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["a"])], &["a → b → c → a", "a → c → a"]),
        (&[("a", &["b"]), ("b", &["a", "b"])], &["a → b → a", "b → b"]),
    ];
    for (pipelines, circles) in cases {
        let errors = load_with(&project_of(pipelines), &[]).unwrap_err();
        assert_eq!(self::circles(errors), *circles, "{pipelines:?}");
    }
}

#[test]
fn a_circle_points_at_a_source_and_says_how_to_read_it() {
    let errors = load_with(&project_of(&[("a", &["b"]), ("b", &["a"])]), &[]).unwrap_err();
    let said = "HW1013 pipelines read from each other in a circle: `a → b → a`\n  \
                note: `a → b` means that `a` reads what `b` commits\n  \
                help: take one of these sources out, or let it read files";
    assert_one(&errors, "circle", Code::Cycle, "\"b\"", said);
    let errors = load_with(&project_of(&[("a", &["a"])]), &[]).unwrap_err();
    assert_one(&errors, "itself", Code::Cycle, "\"a\"", "pipeline `a` reads from itself: `a → a`");
}

#[test]
fn a_circle_is_told_beside_other_mistakes_and_of_overrides() {
    let text = project_of(&[("a", &["b"]), ("b", &["a"])]);
    let errors = load_with(&edited(&text, "\"out_b/", "\"../out_b/"), &[]).unwrap_err();
    let codes: Vec<_> = errors.iter().map(Error::code).collect();
    assert_eq!(codes, [Code::Cycle, Code::BadValue], "{errors:#?}");

    let text = project_of(&[("b", &["c"]), ("c", &[]), ("a", &["b"])]);
    let variable = ("HIGHWATER__PIPELINE__B__SOURCE__T0__PIPELINE", "a");
    let errors = load_with(&text, &[variable]).unwrap_err();
    assert_one(&errors, "override", Code::BadEnvironment, "", "in a circle: `b → a → b`");
    assert!(errors[0].message().contains(variable.0), "{errors:?}");
}

const NAMES: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];

/// The order of pipelines [`NAMES`] with these links, or the circles that are told.
fn order_by(links: &[Link]) -> Result<Vec<usize>, Vec<String>> {
    let mut report = Report::new("config.toml", Arc::from(""));
    chains::order(&NAMES, links, &mut report).map_err(|_| circles(report.into_errors()))
}

proptest! {
    /// Against the definition: next is the first of the file whose upstreams have all been. Where
    /// none can be next, each circle told is one, no two are the same, and without the links of
    /// those told there is none.
    #[test]
    fn the_order_is_the_one_defined(
        reads in prop::collection::btree_set((0..NAMES.len(), 0..NAMES.len()), 0..12),
    ) {
        let link = |&(reader, upstream): &(usize, usize)| Link {
            reader: NAMES[reader].to_owned(),
            upstream: NAMES[upstream].to_owned(),
            place: 0..0,
        };
        let links: Vec<_> = reads.iter().map(link).collect();
        let expected = by_definition(&reads);
        let circles = match order_by(&links) {
            Ok(order) => {
                prop_assert_eq!(order, expected);
                return Ok(());
            }
            Err(circles) => circles,
        };
        prop_assert!(expected.len() < NAMES.len());
        let mut told = BTreeSet::new();
        let mut left = reads.clone();
        for circle in circles {
            let number = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
            let way: Vec<_> = circle.split(" → ").map(number).collect();
            let steps: BTreeSet<_> = way.windows(2).map(|step| (step[0], step[1])).collect();
            prop_assert_eq!(way.first(), way.last());
            prop_assert_eq!(way[1..].iter().collect::<BTreeSet<_>>().len(), way[1..].len());
            prop_assert!(steps.is_subset(&reads), "{}", circle);
            left.retain(|step| !steps.contains(step));
            prop_assert!(told.insert(steps), "{}", circle);
        }
        prop_assert_eq!(by_definition(&left).len(), NAMES.len());
    }
}

/// All that can be taken, each the first whose upstreams have been.
fn by_definition(reads: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let mut order = Vec::new();
    let is_next = |order: &[usize], at: usize| {
        let mut upstreams = reads.iter().filter(|read| read.0 == at).map(|read| read.1);
        !order.contains(&at) && upstreams.all(|upstream| order.contains(&upstream))
    };
    while let Some(next) = (0..NAMES.len()).find(|at| is_next(&order, *at)) {
        order.push(next);
    }
    order
}
