//! Paths name windows: what a template may say, and that no two windows share a path.

use super::*;

fn template(text: &str) -> PathTemplate {
    PathTemplate::parse(text).unwrap()
}

#[test]
fn a_template_writes_the_start_of_a_window() {
    let hours = grid("1h", "Europe/Berlin");
    let window = hours.window_at(at("2025-12-31T23:00:00Z")).unwrap();
    for (text, root, path) in [
        (
            "out/hourly/dt={start:%Y-%m-%d}/hour={start:%H}",
            "out/hourly",
            "out/hourly/dt=2026-01-01/hour=00",
        ),
        ("out/{start_utc:%Y/%m/%d}/{start_utc:%H%M%S}/", "out", "out/2025/12/31/230000"),
        ("a/b/x{start:%G-W%V-%u}", "a/b", "a/b/x2026-W01-4"),
        ("a/{start:%F}/{start_utc:%j}", "a", "a/2026-01-01/365"),
        ("latest", "latest", "latest"),
    ] {
        let template = template(text);
        assert_eq!(template.root(), root);
        assert_eq!(template.render(&hours, window).as_deref(), Some(path));
    }
    assert_eq!(template("out/{start:%F}/").text(), "out/{start:%F}");
    let ancient = hours.window_at(EventTime::FIRST).unwrap();
    assert_eq!(template("a/{start_utc:%Y-%j}").render(&hours, ancient).unwrap(), "a/0001-031");
}

#[test]
fn a_template_that_cannot_be_says_why_and_where() {
    for (text, place, reason) in [
        ("out/{start:%y}", "%y", "only those of fixed width can: `%Y`"),
        ("out/{start:%-d}", "%-", "only those of fixed width"),
        ("out/{start:%", "%", "only those of fixed width"),
        ("out/{window:%Y}", "window", "use `start`, or `start_utc`"),
        ("out/{start_UTC:%Y}", "start_UTC", "use `start`, or `start_utc`"),
        ("out/{}", "", "use `start`, or `start_utc`"),
        ("out/{start}", "start", "write, for example, `{start:%Y-%m-%d}`"),
        ("out/{start_utc:}", "start_utc", "write, for example, `{start_utc:%Y-%m-%d}`"),
        ("out/{start", "start", "write, for example"),
        ("out/{start:%Y", "{start:%Y", "has no `}`"),
        ("out/{start:%H:%M}", ":", "the character ':'"),
        ("out/{start:%Y{", "{", "the character '{'"),
        ("out/a}", "}", "the character '}'"),
        ("out/a b", " ", "the character ' '"),
        ("out/ä/{start:%Y}", "ä", "the character 'ä'"),
        ("out\\a", "\\", "the character '\\\\'"),
        ("out/\n", "\n", "the character '\\n'"),
    ] {
        let error = PathTemplate::parse(text).unwrap_err();
        assert!(error.message.contains(reason), "{text}: {}", error.message);
        let found = &text[error.span];
        assert!(found == place, "{text}: {found}");
    }
    for (text, reason) in [
        ("/out/{start:%F}", "must not begin with `/`"),
        ("", "a folder has no name"),
        ("/", "a folder has no name"),
        ("out//{start:%F}", "a folder has no name"),
        ("out/../{start:%F}", "must not be `.` or `..`"),
        ("./{start:%F}", "must not be `.` or `..`"),
        ("out/_{start:%F}", "must not begin with `.` or `_`"),
        ("out/{start:.%F}", "must not begin with `.` or `_`"),
        ("{start:%F}/out", "the first folder must not have a field"),
        ("dt={start:%F}", "the first folder must not have a field"),
    ] {
        let error = PathTemplate::parse(text).unwrap_err();
        assert!(error.message.contains(reason), "{text}: {}", error.message);
    }
}

#[test]
fn a_template_is_as_long_as_every_store_takes_and_no_longer() {
    let (fits, folder) = ("x".repeat(245), "y".repeat(249));
    // The text is longer than the folder: a date has ten characters.
    assert!(PathTemplate::parse(&format!("out/{fits}{{start_utc:%Y-%m-%d}}")).is_ok());
    let long = format!("out/x{fits}{{start_utc:%Y-%m-%d}}");
    assert!(PathTemplate::parse(&long).unwrap_err().message.contains("at most 255"));
    let path = [folder.as_str(); 4].join("/");
    assert!(PathTemplate::parse(&path[..999]).is_ok());
    assert!(PathTemplate::parse(&format!("{path}/z")).unwrap_err().message.contains("1000"));
}

/// The verdict in one word; a pair of windows that is named must exist and share its path.
fn verdict(text: &str, grid: &WindowGrid) -> &'static str {
    let template = template(text);
    match template.check_injective(grid) {
        Ok(()) => "fine",
        Err(TemplateClash::MissingField(_)) => "missing",
        Err(TemplateClash::SamePath { path, first, second }) => {
            assert!(first < second);
            for window in [first, second] {
                assert_eq!(grid.window_at(window.start()), Some(window));
                assert_eq!(template.render(grid, window).as_ref(), Some(&path));
            }
            "same"
        }
    }
}

#[test]
fn a_template_is_refused_where_two_windows_share_a_path() {
    for (text, size, zone, expected) in [
        ("a/dt={start:%Y-%m-%d}/hr={start:%H}", "1h", "UTC", "fine"),
        ("a/dt={start:%Y-%m-%d}/hr={start:%H}", "1h", "Europe/Berlin", "same"),
        ("a/{start_utc:%Y-%m-%d}/{start_utc:%H}", "1h", "Europe/Berlin", "fine"),
        // Berlin's longest day has 25 windows, but UTC only 24 hours to tell them by.
        ("a/{start:%F}/{start_utc:%H}", "1h", "Europe/Berlin", "same"),
        ("a/{start_utc:%Y-%m-%d}/{start_utc:%H}", "1h", "Australia/Lord_Howe", "same"),
        ("a/{start_utc:%Y-%m-%d}/{start_utc:%H%M}", "1h", "Australia/Lord_Howe", "fine"),
        ("a/{start_utc:%Y-%m-%d}", "1d", "Europe/London", "same"),
        ("a/{start_utc:%Y-%m-%d}", "1d", "Asia/Kolkata", "fine"),
        ("a/{start:%F}/{start:%H}", "15m", "UTC", "same"),
        ("a/{start:%Y-%j}/{start:%H%M}", "15m", "UTC", "fine"),
        ("a/{start_utc:%F-%H-%M}", "1m", "Europe/Berlin", "fine"),
        // The clocks of Tokyo were last set in 1951.
        ("a/{start:%F}/{start:%H}", "1h", "Asia/Tokyo", "fine"),
        ("a/{start:%Y-%m}", "1d", "UTC", "missing"),
        ("a/{start:%Y-%m}/{start_utc:%d}", "1d", "UTC", "missing"),
        ("a/{start:%Y-%V-%u}", "1d", "UTC", "missing"),
        ("a/{start:%G-%V-%u}", "1d", "UTC", "fine"),
        ("a", "1mo", "UTC", "missing"),
        ("a/{start:%Y-%m}", "1mo", "Europe/Berlin", "fine"),
        ("a/{start_utc:%Y-%m}", "1mo", "Europe/Berlin", "fine"),
        ("a/{start:%Y}", "1mo", "Europe/Berlin", "missing"),
        ("a/{start:%G-%V}", "1w", "Europe/Berlin", "fine"),
        ("a/{start:%Y-%V}", "1w", "Europe/Berlin", "missing"),
        // The two windows of a Monday differ in their week, so it has to be another day's.
        ("a/{start:%F}/{start_utc:%V}", "12h", "Europe/Berlin", "same"),
    ] {
        assert_eq!(verdict(text, &grid(size, zone)), expected, "{text} {size} {zone}");
    }
}

#[test]
fn the_date_is_enough_for_the_days_of_any_zone() {
    for zone in TZ_VARIANTS.into_iter().step_by(25) {
        let days = WindowGrid::new(WindowSize::Day, zone);
        assert_eq!(verdict("a/{start:%F}", &days), "fine", "{zone}");
    }
}

const TEMPLATES: [&str; 8] = [
    "a/{start:%F}",
    "a/{start:%F-%H}",
    "a/{start:%F-%H%M}",
    "a/{start_utc:%F}",
    "a/{start_utc:%F-%H}",
    "a/{start_utc:%F-%H%M}",
    "a/{start:%F}/{start_utc:%H}",
    "a/{start_utc:%Y-%j}/{start:%H}",
];

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn what_is_proven_is_so(
        zone in any_zone(),
        text in prop::sample::select(&TEMPLATES[..]),
        size in prop::sample::select(&[30_u16, 60, 360, 720][..]),
        // Earlier windows are compared one by one when they are due.
        year in 1970..2100,
    ) {
        let grid = WindowGrid::new(WindowSize::Minutes(size), zone);
        if verdict(text, &grid) == "fine" {
            let start = |year| EventTime::parse(&format!("{year}-01-01"), zone).unwrap();
            let template = template(text);
            let mut paths = HashMap::new();
            for window in grid.windows_from(start(year), start(year + 1)) {
                let other = paths.insert(template.render(&grid, window).unwrap(), window);
                prop_assert_eq!(other, None);
            }
        }
    }
}

#[test]
fn a_window_from_before_the_proof_is_compared_with_its_neighbours() {
    let path = template("a/{start:%F}/{start:%H}");
    let tokyo = grid("1h", "Asia/Tokyo");
    let window = |text: &str| tokyo.window_at(text.parse().unwrap()).unwrap();
    assert!(path.names_alone(&tokyo, window("1960-05-01T00:00:00Z")));
    assert!(path.names_alone(&tokyo, window("2026-05-01T00:00:00Z")));
    // On the last day of summer time in 1951, an hour of the night came twice.
    let autumn = "1951-09-07T00:00:00Z".parse().unwrap();
    let night = tokyo.windows_from(autumn, "1951-09-10T00:00:00Z".parse().unwrap());
    let shared = night.filter(|window| !path.names_alone(&tokyo, *window)).count();
    assert_eq!(shared, 2);
}
