//! What prefixes are in a JSON Schema, for `#[schemars(with = "…")]`: types that only say it.
//!
//! JSON Schema has formats for addresses and none for prefixes. Ours are names that a validator passes over; what reads
//! the schema to make types of it, as the Python package does, knows by them what a text is.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident: $format:literal, $pattern:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": $pattern })
            }
        }
    )*};
}

formats! {
    /// A prefix of either family: `192.168.0.0/16`, `fd00::/8`.
    IpPrefix: "ip-prefix", "^[0-9A-Fa-f:.]+/[0-9]{1,3}$";
    /// An IPv4 prefix.
    Ipv4Prefix: "ipv4-prefix", "^[0-9.]+/[0-9]{1,2}$";
    /// An IPv6 prefix.
    Ipv6Prefix: "ipv6-prefix", "^[0-9A-Fa-f:.]+/[0-9]{1,3}$";
    /// An address of either family with the length of the prefix that it is in: `192.168.0.1/24`.
    IpInterface: "ip-interface", "^[0-9A-Fa-f:.]+/[0-9]{1,3}$";
    /// An IPv4 address with the length of the prefix that it is in.
    Ipv4Interface: "ipv4-interface", "^[0-9.]+/[0-9]{1,2}$";
}
