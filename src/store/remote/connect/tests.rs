//! What may be set, and what is refused without telling it.

use super::*;

const RETRY: RetrySpec = RetrySpec { max_retries: 3, retry_timeout: Span::from_seconds(9) };

fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn try_connect(
    url: &str,
    options: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> Result<RemoteStore> {
    let options = text(options).into_iter().collect();
    let environment = Environment::of(text(environment));
    let prefix = Prefix::parse(url).unwrap();
    connect(&prefix, &options, &environment, RETRY, 1, Clock::system())
}

/// What is wrong with one option of a store; never its value.
fn refusal(url: &str, name: &str, value: &str) -> (Code, String) {
    let error = try_connect(url, &[(name, value)], &[]).unwrap_err();
    let told = format!("{error:?}");
    assert!(!told.contains("canary"), "{told}");
    (error.code(), told)
}

#[test]
fn credentials_are_refused_in_options() {
    for (url, name) in [
        ("s3://lake", "aws_secret_access_key"),
        ("s3://lake", "access_key_id"),
        ("s3://lake", "token"),
        ("s3://lake", "aws_sse_customer_key_base64"),
        ("gs://lake", "google_service_account_key"),
        ("az://lake", "azure_storage_account_key"),
        ("az://lake", "sas_token"),
        ("az://lake", "sas_key"),
        ("az://lake", "azure_client_secret"),
        ("az://lake", "bearer_token"),
        ("s3://lake", "aws_secret_acess_kee"),
    ] {
        let (code, told) = refusal(url, name, "canary");
        assert_eq!(code, Code::BadValue, "{told}");
        assert!(told.contains("holds a credential") && told.contains("environment"), "{told}");
    }
    for (name, value) in [
        ("proxy_url", "http://user:canary@proxy:8080"),
        ("aws_endpoint", "https://store/?sig=canary"),
    ] {
        assert_eq!(refusal("s3://lake", name, value).0, Code::BadValue);
    }
    let account = "{\"private_key\": \"canary\"}";
    assert_eq!(refusal("gs://lake", "google_service_account", account).0, Code::BadValue);
}

#[test]
fn options_that_name_a_file_or_a_service_hold_no_credential() {
    for name in [
        "aws_web_identity_token_file",
        "azure_federated_token_file",
        "azure_fabric_token_service_url",
        "aws_sse_kms_key_id",
        "google_service_account",
    ] {
        assert!(!holds_secret(name), "{name}");
    }
}

#[test]
fn unknown_options_are_told_with_known_ones() {
    let (code, told) = refusal("s3://lake", "aws_regoin", "x");
    assert_eq!(code, Code::UnknownKey);
    assert!(told.contains("did you mean `aws_region`"), "{told}");
    assert!(refusal("az://lake", "aws_region", "x").1.contains("is no option"));
    assert!(refusal("gs://lake", "zzz", "x").1.contains("known are `google_"));
}

#[test]
fn every_option_that_is_named_exists_and_is_free() {
    fn check<B: Builder>() {
        for name in B::OPTIONS {
            assert!(option::<B>(name, "x").is_ok(), "{name}");
        }
    }
    check::<AmazonS3Builder>();
    check::<GoogleCloudStorageBuilder>();
    check::<MicrosoftAzureBuilder>();
}

#[test]
fn what_is_ours_cannot_be_set() {
    for (url, name) in [
        ("s3://lake", "aws_bucket"),
        ("s3://lake", "timeout"),
        ("s3://lake", "aws_conditional_put"),
        ("gs://lake", "google_bucket"),
        ("az://lake", "azure_container_name"),
    ] {
        assert!(refusal(url, name, "x").1.contains("cannot be set"), "{name}");
    }
}

#[test]
fn an_endpoint_is_encrypted_unless_it_was_asked_for() {
    let plain = ("aws_endpoint", "http://127.0.0.1:1");
    let code = |options: &[_], environment: &[_]| {
        try_connect("s3://lake", options, environment).err().map(|error| error.code())
    };
    assert_eq!(code(&[plain], &[]), Some(Code::BadValue));
    assert_eq!(code(&[plain, ("aws_allow_http", "false")], &[]), Some(Code::BadValue));
    assert_eq!(code(&[plain, ("aws_allow_http", "true")], &[]), None);
    let variable = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    assert_eq!(code(&[], &variable), Some(Code::BadEnvironment));
    assert_eq!(code(&[("aws_allow_http", "true")], &variable), None);
    assert_eq!(code(&[("aws_endpoint", "https://store")], &variable), None);
    let google = try_connect("gs://lake", &[("google_base_url", "http://127.0.0.1:1")], &[]);
    assert_eq!(google.unwrap_err().code(), Code::BadValue);
}

#[test]
fn values_that_cannot_be_are_told_without_secrets() {
    let wrong = [("aws_virtual_hosted_style_request", "perhaps")];
    let error = try_connect("s3://lake", &wrong, &[]).unwrap_err();
    assert_eq!(error.code(), Code::BadValue);
    let key = [("GOOGLE_SERVICE_ACCOUNT_KEY", "{\"private_key\": \"canary-key\"}")];
    let error = try_connect("gs://lake", &[], &key).unwrap_err();
    assert!(!format!("{error:?}").contains("canary-key"), "{error:?}");
    let environment = Environment::of(text(&[("AWS_SECRET_ACCESS_KEY", "canary")]));
    assert_eq!(format!("{environment:?}"), "[\"AWS_SECRET_ACCESS_KEY\"]");
    assert_eq!(environment.secrets().redact("a canary"), "a …");
}

#[test]
fn requests_for_data_have_time_for_the_largest_object() {
    assert_eq!(data_request_for(1), DATA_REQUEST_FOR);
    assert_eq!(data_request_for(4_000_000_000), Span::from_seconds(1000));
    assert_eq!(data_request_for(4_000_000_001), Span::from_seconds(1001));
}
