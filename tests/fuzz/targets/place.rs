//! Where things lie: path templates, folders, URLs of object stores.

use std::collections::HashMap;
use std::path::Component;

use highwater::spec::{Location, Prefix};
use highwater::time::EventTime;
use highwater::window::{PathTemplate, WindowGrid, WindowSize};

/// Windows whose paths are compared, from each instant on.
const NEAR: usize = 60;

/// A template, the size of windows, a zone, and instants in seconds: a line each.
pub(crate) fn template(bytes: &[u8]) {
    let lines = super::lines(bytes);
    let [text, size, zone, instants @ ..] = lines.as_slice() else { return };
    let template = match PathTemplate::parse(text) {
        Ok(template) => template,
        Err(wrong) => {
            assert!(text.get(wrong.span.clone()).is_some(), "{wrong:?}");
            return;
        }
    };
    check_path(template.root());
    assert_eq!(PathTemplate::parse(template.text()).as_ref(), Ok(&template));
    let Ok(size) = WindowSize::parse(size) else { return };
    let grid = WindowGrid::new(size, zone.parse().unwrap_or(chrono_tz::Tz::UTC));
    let is_proven = template.check_injective(&grid).is_ok();
    let mut windows_by_path = HashMap::new();
    let instants = instants.iter().filter_map(|at| EventTime::from_seconds(at.parse().ok()?));
    for at in instants.take(4).filter(|at| at.is_usable()) {
        // Before 1970, each is compared with all that lie near.
        let near = if at.seconds() < 0 { 2 } else { NEAR };
        for window in grid.windows_from(at, EventTime::END).take(near) {
            let Some(path) = template.render(&grid, window) else { continue };
            check_path(&path);
            assert!(path.starts_with(template.root()));
            if is_proven && template.names_alone(&grid, window) {
                let other = *windows_by_path.entry(path.clone()).or_insert(window);
                assert_eq!(other, window, "they share the path {path}");
            }
        }
    }
}

/// A path that no store and no reader takes for another.
fn check_path(path: &str) {
    for folder in path.split('/') {
        assert!(!folder.is_empty() && !folder.starts_with(['.', '_']), "{path}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._=-".contains(c);
        assert!(folder.chars().all(is_plain), "{path}");
    }
}

/// Where one stands, and what is named from there: a line each.
pub(crate) fn location(bytes: &[u8]) {
    let lines = super::lines(bytes);
    let [from, name, ..] = lines.as_slice() else { return };
    let home = Location::Folder("/project".into());
    let Ok(from) = home.join(from) else { return };
    let Ok(place) = from.join(name) else { return };
    check_place(&place);
    assert!(place.overlaps(&place));
    assert_eq!(place.overlaps(&from), from.overlaps(&place));
    assert!(place.overlaps(&place.below("log")));
    if let Some((parent, own)) = place.split_last() {
        assert!(!own.contains('/') && !own.is_empty());
        assert_eq!(parent.below(&own), place);
    }
}

fn check_place(place: &Location) {
    match place {
        Location::Folder(folder) => {
            assert!(folder.is_absolute());
            let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
            assert!(folder.components().all(is_plain), "{}", folder.display());
        }
        Location::Prefix(prefix) => {
            // Keys may hold what a URL may not: that is where secrets stand in one.
            if !prefix.path.contains(['?', '#', '@']) {
                assert_eq!(Prefix::parse(&prefix.to_string()).as_ref(), Ok(prefix));
            }
            let key = prefix.key("a/b.parquet");
            assert!(key.ends_with("a/b.parquet") && !key.starts_with('/'));
            assert!(!key.split('/').any(|part| ["", ".", ".."].contains(&part)), "{key}");
            assert!(!key.chars().any(char::is_control));
        }
    }
}
