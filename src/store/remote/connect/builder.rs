//! What the builders of the three clients have in common.

use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};

/// The builder of a client.
pub(super) trait Builder: Default {
    /// The name of an option.
    type Key: FromStr;

    /// How the names of its variables begin.
    const FAMILY: &str;

    /// The options worth naming to somebody who misspelt one.
    const OPTIONS: &[&str];

    fn set(self, key: Self::Key, value: &str) -> Self;

    /// What an option is to us.
    fn role(key: &Self::Key) -> Role;

    fn timeout() -> Self::Key;

    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>>;
}

/// What an option is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is not ours to judge.
    Free,
    /// Where the store is.
    Endpoint,
    /// Whether it may be reached without encryption.
    AllowHttp,
    /// It is set here and nowhere else.
    Ours,
}

/// What an option of the connection is to us.
fn role(key: ClientConfigKey) -> Role {
    match key {
        ClientConfigKey::AllowHttp => Role::AllowHttp,
        ClientConfigKey::Timeout => Role::Ours,
        _ => Role::Free,
    }
}

impl Builder for AmazonS3Builder {
    type Key = AmazonS3ConfigKey;
    const FAMILY: &str = "AWS_";
    const OPTIONS: &[&str] = &[
        "aws_region",
        "aws_endpoint",
        "aws_allow_http",
        "aws_virtual_hosted_style_request",
        "aws_skip_signature",
        "aws_unsigned_payload",
        "aws_checksum_algorithm",
        "aws_s3_express",
        "aws_request_payer",
        "aws_role_arn",
        "aws_role_session_name",
        "aws_web_identity_token_file",
        "aws_server_side_encryption",
        "aws_sse_kms_key_id",
        "aws_sse_bucket_key_enabled",
        "connect_timeout",
        "proxy_url",
    ];

    fn set(self, key: Self::Key, value: &str) -> Self {
        self.with_config(key, value)
    }

    fn role(key: &Self::Key) -> Role {
        match key {
            AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint => Role::Endpoint,
            AmazonS3ConfigKey::Bucket | AmazonS3ConfigKey::ConditionalPut => Role::Ours,
            AmazonS3ConfigKey::Client(key) => role(*key),
            _ => Role::Free,
        }
    }

    fn timeout() -> Self::Key {
        AmazonS3ConfigKey::Client(ClientConfigKey::Timeout)
    }

    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> {
        let builder = self.with_bucket_name(bucket).with_retry(retry);
        let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch);
        Ok(Arc::new(builder.build()?))
    }
}

impl Builder for GoogleCloudStorageBuilder {
    type Key = GoogleConfigKey;
    const FAMILY: &str = "GOOGLE_";
    const OPTIONS: &[&str] = &[
        "google_service_account",
        "google_application_credentials",
        "google_base_url",
        "google_skip_signature",
        "allow_http",
        "connect_timeout",
        "proxy_url",
    ];

    fn set(self, key: Self::Key, value: &str) -> Self {
        self.with_config(key, value)
    }

    fn role(key: &Self::Key) -> Role {
        match key {
            GoogleConfigKey::BaseUrl => Role::Endpoint,
            GoogleConfigKey::Bucket => Role::Ours,
            GoogleConfigKey::Client(key) => role(*key),
            _ => Role::Free,
        }
    }

    fn timeout() -> Self::Key {
        GoogleConfigKey::Client(ClientConfigKey::Timeout)
    }

    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.with_bucket_name(bucket).with_retry(retry).build()?))
    }
}

impl Builder for MicrosoftAzureBuilder {
    type Key = AzureConfigKey;
    const FAMILY: &str = "AZURE_";
    const OPTIONS: &[&str] = &[
        "azure_storage_account_name",
        "azure_storage_client_id",
        "azure_storage_tenant_id",
        "azure_storage_endpoint",
        "azure_storage_use_emulator",
        "azure_allow_http",
        "azure_skip_signature",
        "azure_use_fabric_endpoint",
        "azure_use_azure_cli",
        "azure_federated_token_file",
        "azure_disable_tagging",
        "connect_timeout",
        "proxy_url",
    ];

    fn set(self, key: Self::Key, value: &str) -> Self {
        self.with_config(key, value)
    }

    fn role(key: &Self::Key) -> Role {
        match key {
            AzureConfigKey::Endpoint => Role::Endpoint,
            AzureConfigKey::ContainerName => Role::Ours,
            AzureConfigKey::Client(key) => role(*key),
            _ => Role::Free,
        }
    }

    fn timeout() -> Self::Key {
        AzureConfigKey::Client(ClientConfigKey::Timeout)
    }

    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.with_container_name(bucket).with_retry(retry).build()?))
    }
}
