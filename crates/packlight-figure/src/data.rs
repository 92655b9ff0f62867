//! A figure's numbers as comma-separated values (RFC 4180, with line feeds).

use crate::Result;

/// A figure's numbers: `write_record` adds a row.
pub(crate) type Data = csv::Writer<Vec<u8>>;

/// No rows yet, under a header.
pub(crate) fn data(header: &[&str]) -> Result<Data> {
    let mut data = Data::from_writer(Vec::new());
    data.write_record(header)?;
    Ok(data)
}

/// The file's text.
pub(crate) fn finish(data: Data) -> Result<String> {
    let bytes = data.into_inner().map_err(|e| csv::Error::from(e.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A number with all its digits; empty where it is missing or undefined.
pub(crate) fn number(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let mut data = data(&["plan", "value"]).unwrap();
        data.write_record(["a=pool2,b=none".to_string(), number(0.1)]).unwrap();
        data.write_record(["say \"x\"".to_string(), number(f64::NAN)]).unwrap();
        assert_eq!(
            finish(data).unwrap(),
            "plan,value\n\"a=pool2,b=none\",0.1\n\"say \"\"x\"\"\",\n"
        );
    }
}
