//! Addresses and prefixes as text in one form, so that two that mean the same are the same text.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ::ipnet::{IpNet, Ipv4Net, Ipv6Net};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The text of a string, or of any of `ipaddress`'s objects: all of them know their `compressed` form.
fn text(value: &Bound<'_, PyAny>, wanted: &str) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_cow()?.into_owned());
    }
    let refused =
        || PyTypeError::new_err(format!("{wanted} is a str or one of ipaddress, not {}", kind(value)));
    value.getattr("compressed").map_err(|_| refused())?.extract().map_err(|_| refused())
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "that".to_owned(), |name| name.to_string())
}

fn canonical<T: FromStr + Display>(value: &Bound<'_, PyAny>, wanted: &str) -> PyResult<String> {
    let text = text(value, wanted)?;
    match text.parse::<T>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(PyValueError::new_err(format!("{text:?} is not {wanted}"))),
    }
}

macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $wanted:literal;)*) => {$(
        $(#[$doc])*
        #[pyfunction]
        pub(crate) fn $name(value: &Bound<'_, PyAny>) -> PyResult<String> {
            canonical::<$type>(value, $wanted)
        }
    )*};
}

forms! {
    /// The one form of an IPv4 address.
    ipv4: Ipv4Addr, "an IPv4 address";
    /// The one form of an IPv6 address.
    ipv6: Ipv6Addr, "an IPv6 address";
    /// The one form of an address.
    ip: IpAddr, "an IP address";
    /// The one form of an IPv4 address with the length of its prefix.
    ipv4net: Ipv4Net, "an IPv4 address with the length of its prefix";
    /// The one form of an IPv6 address with the length of its prefix.
    ipv6net: Ipv6Net, "an IPv6 address with the length of its prefix";
    /// The one form of an address with the length of its prefix.
    ipnet: IpNet, "an IP address with the length of its prefix";
}
