//! Where data and state lie, and how they are reached.

use super::*;

#[test]
fn everything_may_lie_on_object_stores() {
    let lake = &[("LAKE", "s3://lake/shop/")];
    let project = load_with(FULL, lake).unwrap();
    assert_eq!(project.root.to_string(), "s3://lake/shop");
    assert_eq!(project.state.to_string(), "s3://lake/shop/_state");
    let source = project.pipelines[0].source("orders").unwrap();
    assert_eq!(source.folder().unwrap().path.to_string(), "s3://lake/shop/raw/orders");
    let apart = edited(FULL, "\"_state\"", "\"s3://ledgers/shop\"");
    assert_eq!(load_with(&apart, lake).unwrap().state.to_string(), "s3://ledgers/shop");
    // What arrives may lie elsewhere than what is made of it.
    let local = edited(FULL, "raw/orders/", "/var/spool/orders");
    let source = load_with(&local, lake).unwrap().pipelines.remove(0).sources.remove(0);
    assert_eq!(source.folder().unwrap().path, Location::Folder("/var/spool/orders".into()));
}

#[test]
fn options_are_for_the_client_and_never_secret() {
    let with = |options: &str| {
        load_with(&edited(FULL, "[engine]", &format!("[storage.options]\n{options}[engine]")), &[])
    };
    let project = with("AWS_Region = \"eu-central-1\"\n").unwrap();
    assert_eq!(project.storage.options["aws_region"], "eu-central-1");
    for key in [
        "aws_secret_access_key",
        "aws_session_token",
        "azure_storage_sas_key",
        "azure_storage_account_key",
        "google_service_account_credential",
    ] {
        let errors = with(&format!("{key} = \"hunter2\"\n")).unwrap_err();
        assert_one(&errors, key, Code::Conflict, key, "no place for one");
        assert!(!format!("{errors:?}").contains("hunter2\"\n["), "{errors:?}");
    }
}

#[test]
fn how_often_and_how_long_may_be_said() {
    let text = edited(FULL, "wait = ", "patience = \"8s\"\nheartbeat = \"1s\"\nwait = ");
    let text = edited(&text, "[engine]", "[retry]\nmax_retries = 0\n[history]\nkeep = 0\n[engine]");
    let project = load_with(&text, &[]).unwrap();
    assert_eq!(project.lease.patience, Span::from_seconds(8));
    assert_eq!((project.storage.max_retries, project.history_keep), (0, 0));
}

#[test]
fn places_that_cannot_be_are_refused() {
    let root = "\"${LAKE:-lake}\"";
    for (before, after, code, place, said) in [
        (root, "\"s3://k:secret@lake/x\"", Code::BadValue, "\"s3://********@lake/x\"", "s3://lake"),
        (root, "\"http://lake/x\"", Code::BadValue, "\"http://lake/x\"", "`http://` is no store"),
        (root, "\"s3://lake/../x\"", Code::BadValue, "\"s3://lake/../x\"", "`..`"),
        ("\"_state\"", "\"gs://lake/x\"", Code::Conflict, "\"gs://lake/x\"", "the state would lie"),
        ("\"/var/spill\"", "\"s3://lake/x\"", Code::BadValue, "\"s3://lake/x\"", "not a folder"),
    ] {
        let errors = load_with(&edited(FULL, before, after), &[]).unwrap_err();
        assert_one(&errors, after, code, place, said);
        assert!(errors.iter().all(|error| !error.message().contains("secret")), "{errors:?}");
    }
    let slow = edited(FULL, "wait = ", "heartbeat = \"15s\"\nwait = ");
    let errors = load_with(&slow, &[]).unwrap_err();
    assert_one(&errors, "15s", Code::BadValue, "\"15s\"", "looks dead");
}

#[test]
fn the_state_lies_beside_what_it_speaks_of() {
    let errors = load_with(
        &edited(FULL, "\"_state\"", "\"s3://lake/shop/curated\""),
        &[("LAKE", "s3://lake/shop")],
    );
    assert!(errors.unwrap_err().iter().all(|error| error.code() == Code::Conflict));
}
