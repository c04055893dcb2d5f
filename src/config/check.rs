//! What a window must be like to be published: checks, and limits for its rows.

use toml::Spanned;

use crate::error::Code;
use crate::spec::{CheckSpec, QualitySpec, Ratio, Severity};

use super::diagnose::{Read, Report};
use super::mistake::Mistake;
use super::pipeline;
use super::raw::{RawCheck, RawPipeline};
use super::resolve::Project;
use super::value::{choice, filled};

/// The specs of `[[pipeline.<name>.check]]`, in the order of the file.
pub(super) fn checks(
    raw: &RawPipeline,
    project: &Project<'_>,
    report: &mut Report<'_>,
) -> Read<Vec<CheckSpec>> {
    let written = raw.check.as_deref().unwrap_or_default();
    let mut taken: Vec<&str> = Vec::with_capacity(written.len());
    let mut specs = Vec::with_capacity(written.len());
    for raw in written {
        specs.push(check(raw, &taken, project, report));
        taken.extend(raw.get_ref().name.as_ref().map(|name| name.get_ref().as_str()));
    }
    specs.into_iter().collect()
}

/// One check, whose name must not be one of `taken`.
fn check(
    raw: &Spanned<RawCheck>,
    taken: &[&str],
    project: &Project<'_>,
    report: &mut Report<'_>,
) -> Read<CheckSpec> {
    let (place, raw) = (raw.span(), raw.get_ref());
    let name = report
        .required("name", raw.name.as_ref(), &place, "`name = \"no_negative_revenue\"`")
        .and_then(|name| report.check("name", name, |text| check_name(text, taken)));
    let sql = pipeline::sql(raw.sql.as_ref(), raw.sql_file.as_ref(), &place, project, report);
    let severity = report.read("severity", raw.severity.as_ref(), severity);
    let (name, (sql, origin)) = (name?, sql?);
    Ok(CheckSpec { name, sql, origin, severity: severity?.unwrap_or(Severity::Error) })
}

fn check_name(text: &str, taken: &[&str]) -> Result<String, Mistake> {
    if taken.contains(&text) {
        let what = format!("`{text}` is already the name of a check of this pipeline");
        return Err(Mistake::new(Code::Conflict, what, "used before")
            .hint("give each check a name of its own: it stands with every window it refuses"));
    }
    filled(text)
}

fn severity(text: &str) -> Result<Severity, Mistake> {
    Ok(match choice(text, &["error", "warn"])? {
        "warn" => Severity::Warn,
        _ => Severity::Error,
    })
}

/// The limits of `[pipeline.<name>.quality]`.
pub(super) fn quality(raw: &RawPipeline, report: &mut Report<'_>) -> Read<QualitySpec> {
    let Some(raw) = raw.quality.as_ref().map(Spanned::get_ref) else {
        return Ok(QualitySpec::default());
    };
    let max_bad_ratio = raw.max_bad_ratio.as_ref().map(|value| {
        // Written out, a number shows the digits that its author wrote.
        let text = value.get_ref().to_string();
        Ratio::parse(&text).ok_or_else(|| {
            let mistake = Mistake::bad(format!("{text} is not a share"), "not from 0 to 1")
                .hint("write a number from 0 to 1 with at most nine decimals: 0.01 is one percent");
            report.wrong_at("`max_bad_ratio`", value.span(), mistake)
        })
    });
    Ok(QualitySpec {
        max_bad_ratio: max_bad_ratio.transpose()?,
        max_bad_rows: raw.max_bad_rows.as_ref().map(|value| *value.get_ref()),
        min_rows: raw.min_rows.as_ref().map_or(0, |value| *value.get_ref()),
    })
}
