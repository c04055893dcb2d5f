//! Tables without event time.

use super::*;
use crate::spec::{OnReferenceChange, PipelineSpec};

/// The pipeline of FULL with `added` behind it.
fn pipeline_with(added: &str, environment: &[(&str, &str)]) -> Result<PipelineSpec, Vec<Error>> {
    let text = format!("{FULL}{added}");
    load_with(&text, environment).map(|mut project| project.pipelines.remove(0))
}

/// A reference of FULL.
fn table(name: &str, keys: &str) -> String {
    format!("[pipeline.orders_hourly.reference.{name}]\n{keys}\n")
}

#[test]
fn each_is_a_file_or_a_folder_in_the_order_of_the_file() {
    let shops = table("shops", "path = \"ref/shops.parquet\"\non_change = \"reprocess\"");
    let codes = table("codes", "path = \"/mnt/ref/./codes/\"");
    let pipeline = pipeline_with(&format!("{shops}{codes}"), &[]).unwrap();
    let [shops, codes] = pipeline.references.as_slice() else { panic!("{pipeline:?}") };
    assert_eq!(shops.table, "shops");
    assert_eq!(shops.folder, Location::Folder("/shop/lake/ref".into()));
    assert_eq!(shops.file_name.as_deref(), Some("shops.parquet"));
    assert_eq!(shops.label, "ref/shops.parquet");
    assert_eq!(shops.on_change, OnReferenceChange::Reprocess);
    assert_eq!(codes.table, "codes");
    assert_eq!(codes.folder, Location::Folder("/mnt/ref/codes".into()));
    assert_eq!(codes.file_name, None);
    assert_eq!(codes.label, "/mnt/ref/./codes/");
    assert_eq!(codes.on_change, OnReferenceChange::Report);
}

#[test]
fn there_need_be_none() {
    assert!(pipeline_with("", &[]).unwrap().references.is_empty());
    assert!(
        pipeline_with("[pipeline.orders_hourly.reference]\n", &[]).unwrap().references.is_empty()
    );
}

#[test]
fn the_environment_reaches_its_keys() {
    let shops = table("shops", "path = \"ref/shops\"");
    let key = "HIGHWATER__PIPELINE__ORDERS_HOURLY__REFERENCE__SHOPS__";
    let set = |name: &str, value: &str| pipeline_with(&shops, &[(&format!("{key}{name}"), value)]);
    let reference = |name: &str, value: &str| set(name, value).unwrap().references.remove(0);
    assert_eq!(reference("PATH", "/elsewhere").folder, Location::Folder("/elsewhere".into()));
    let remote = reference("PATH", "s3://lake/ref/shops.parquet");
    assert_eq!(remote.folder.to_string(), "s3://lake/ref");
    assert_eq!(remote.file_name.as_deref(), Some("shops.parquet"));
    assert_eq!(reference("ON_CHANGE", "reprocess").on_change, OnReferenceChange::Reprocess);
    let errors = set("ON_CHANGE", "ignore").unwrap_err();
    assert_one(&errors, "ignore", Code::BadEnvironment, "", "values: `report`, `reprocess`");
}

#[test]
fn what_it_may_not_say_is_refused() {
    let header = "[pipeline.orders_hourly.reference.shops]";
    for (name, keys, code, place, said) in [
        ("shops", "", Code::MissingKey, header, "add `path = \"ref/shops.parquet\"`"),
        ("shops", "path = \" \"", Code::BadValue, "\" \"", "`path`: it is empty"),
        ("shops", "path = \"s3://b\"", Code::BadValue, "\"s3://b\"", "the name of a bucket"),
        ("shops", "paht = \"ref\"", Code::UnknownKey, "paht", "exists: `path`"),
        ("shops", "path = \"ref\"\nglob = \"*\"", Code::UnknownKey, "glob", "path, on_change"),
        (
            "shops",
            "path = \"ref\"\non_change = \"reproces\"",
            Code::BadValue,
            "\"reproces\"",
            "did you mean `reprocess`?",
        ),
        ("my-shops", "path = \"ref\"", Code::BadValue, "my-shops", "`my-shops` is not a name"),
        (
            "Orders",
            "path = \"ref\"",
            Code::Conflict,
            "Orders",
            "`reference`: `Orders` is already the name of a source, a reference or a step",
        ),
        ("Paid", "path = \"ref\"", Code::Conflict, "\"paid\"", "each source, reference and step"),
        ("shops", "path = \"_state/x\"", Code::Conflict, "\"_state/x\"", "the state overlap"),
        ("shops", "path = \"curated\"", Code::Conflict, OUTPUT, "reference `shops` of pipeline"),
        (
            "shops",
            "path = \"curated/orders/shops.parquet\"",
            Code::Conflict,
            OUTPUT,
            "pipeline `orders_hourly`: /shop/lake/curated/orders/shops.parquet",
        ),
    ] {
        let errors = pipeline_with(&table(name, keys), &[]).unwrap_err();
        assert_one(&errors, keys, code, place, said);
    }
}

#[test]
fn it_may_share_its_folder_with_a_source_but_not_its_name_with_another() {
    let keys = "path = \"raw/orders/\"";
    assert!(pipeline_with(&table("shops", keys), &[]).is_ok());
    let two = format!("{}{}", table("shops", keys), table("SHOPS", keys));
    let errors = pipeline_with(&two, &[]).unwrap_err();
    assert_one(&errors, "SHOPS", Code::Conflict, "SHOPS", "already the name");
}
