//! References: tables without event time.

use toml::Spanned;

use crate::spec::{OnReferenceChange, ReferenceSpec};

use super::diagnose::{Read, Report};
use super::folders::Folder;
use super::mistake::Mistake;
use super::raw::{RawPipeline, RawReference};
use super::resolve::Project;
use super::value::{choice, place as location, table_name};

/// The specs of `[pipeline.<pipeline>.reference.*]`, in the order of the file.
pub(super) fn references(
    pipeline: &str,
    raw: &RawPipeline,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<Vec<ReferenceSpec>> {
    let mut tables: Vec<_> = raw.reference.iter().flatten().collect();
    tables.sort_by_key(|(table, _)| table.span().start);
    let mut taken: Vec<&str> =
        raw.source.iter().flatten().map(|(table, _)| table.get_ref().as_str()).collect();
    let mut specs = Vec::with_capacity(tables.len());
    for (table, raw) in tables {
        let name = report.check("reference", table, |text| table_name(text, &taken));
        taken.push(table.get_ref());
        let owner = format!("reference `{}` of pipeline `{pipeline}`", table.get_ref());
        specs.push(reference(name, owner, raw, project, report));
    }
    specs.into_iter().collect()
}

fn reference(
    name: Read<String>,
    owner: String,
    raw: &Spanned<RawReference>,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<ReferenceSpec> {
    let (place, raw) = (raw.span(), raw.get_ref());
    let example = "`path = \"ref/shops.parquet\"`";
    let path = report.required("path", raw.path.as_ref(), &place, example).and_then(|path| {
        let at = report.check("path", path, |text| location(&project.root, text))?;
        project.folders.sources.push(Folder { path: at.clone(), owner, place: path.span() });
        let label = path.get_ref().clone();
        let is_file = label.ends_with(".parquet");
        let file = at.split_last().filter(|_| is_file);
        let (folder, file_name) = file.map_or((at, None), |(folder, name)| (folder, Some(name)));
        Ok((folder, file_name, label))
    });
    let on_change = report.read("on_change", raw.on_change.as_ref(), on_change);
    let (folder, file_name, label) = path?;
    Ok(ReferenceSpec {
        table: name?,
        folder,
        file_name,
        label,
        on_change: on_change?.unwrap_or(OnReferenceChange::Report),
    })
}

fn on_change(text: &str) -> Result<OnReferenceChange, Mistake> {
    Ok(match choice(text, &["report", "reprocess"])? {
        "reprocess" => OnReferenceChange::Reprocess,
        _ => OnReferenceChange::Report,
    })
}
