//! Helpers for data frames: columns as vectors, statistics of groups, CSV.

use polars::prelude::*;

use crate::Result;

/// The numbers of a column; NaN for null.
pub(crate) fn numbers(frame: &DataFrame, column: &str) -> Result<Vec<f64>> {
    let column = frame.column(column)?.cast(&DataType::Float64)?;
    Ok(column.f64()?.iter().map(|v| v.unwrap_or(f64::NAN)).collect())
}

/// The integers of a column without nulls. Seeds are read with this: as floats, large seeds would
/// become equal.
pub(crate) fn whole(frame: &DataFrame, column: &str) -> Result<Vec<u64>> {
    Ok(frame.column(column)?.u64()?.iter().flatten().collect())
}

/// The strings of a column; empty for null.
pub(crate) fn texts(frame: &DataFrame, column: &str) -> Result<Vec<String>> {
    let column = frame.column(column)?;
    Ok(column.str()?.iter().map(|v| v.unwrap_or_default().to_string()).collect())
}

/// The rows with `value` in `column`.
pub(crate) fn only(frame: &DataFrame, column: &str, value: &str) -> Result<DataFrame> {
    let mask = frame.column(column)?.str()?.equal(value);
    Ok(frame.filter(&mask)?)
}

/// The distinct finite values of a numeric column, ascending.
pub(crate) fn distinct(frame: &DataFrame, column: &str) -> Result<Vec<f64>> {
    let mut values = numbers(frame, column)?;
    values.retain(|v| v.is_finite());
    values.sort_by(f64::total_cmp);
    values.dedup();
    Ok(values)
}

/// One row for each group of rows with the same `keys`, in order of first appearance: the keys,
/// and `n`, `mean`, `sd` (sample standard deviation), `median`, `low` and `high` of `value` without
/// nulls.
///
/// This uses polars' eager interface: the lazy one would triple the time of a cold build.
pub(crate) fn describe(frame: &DataFrame, keys: &[&str], value: &str) -> Result<DataFrame> {
    let described = frame.group_by_stable(keys.iter().copied())?.apply(|group| {
        let column = group.column(value)?.cast(&DataType::Float64)?;
        let values = column.f64()?;
        let mut row = group.head(Some(1)).select(keys.iter().copied())?;
        let statistics = df!(
            "n" => [(values.len() - values.null_count()) as u64],
            "mean" => [values.mean()],
            "sd" => [values.std(1)],
            "median" => [values.median()],
            "low" => [values.min()],
            "high" => [values.max()],
        )?;
        row.hstack_mut(statistics.columns())?;
        Ok(row)
    })?;
    Ok(described)
}

/// The frame as CSV (RFC 4180, with line feeds) with a header; null is empty.
pub(crate) fn csv(frame: &DataFrame) -> Result<Vec<u8>> {
    let mut csv = Vec::new();
    let mut writer = csv::Writer::from_writer(&mut csv);
    writer.write_record(frame.get_column_names())?;
    for row in 0..frame.height() {
        let fields = frame.columns().iter().map(|column| Ok(field(&column.get(row)?)));
        writer.write_record(fields.collect::<PolarsResult<Vec<String>>>()?)?;
    }
    writer.flush().map_err(csv::Error::from)?;
    drop(writer);
    Ok(csv)
}

/// A value as text that parses back to the same value.
fn field(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::Float64(number) => format!("{number:?}"),
        AnyValue::Boolean(truth) => truth.to_string(),
        AnyValue::UInt64(number) => number.to_string(),
        AnyValue::Int64(number) => number.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_as_csv_quotes_where_it_must_and_loses_no_digit() {
        let frame = df!(
            "plan" => ["a=pool2,b=none", "say \"x\"", "q2"],
            "mean" => [Some(0.1), None, Some(1.0)],
            "tiny" => [1e-300, 0.1 + 0.2, -0.0],
            "seed" => [u64::MAX, 0, 1],
            "live" => [-1i64, 0, 1],
            "backward" => [true, false, true],
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(csv(&frame).unwrap()).unwrap(),
            "plan,mean,tiny,seed,live,backward\n\
             \"a=pool2,b=none\",0.1,1e-300,18446744073709551615,-1,true\n\
             \"say \"\"x\"\"\",,0.30000000000000004,0,0,false\n\
             q2,1.0,-0.0,1,1,true\n"
        );
    }

    #[test]
    fn groups_keep_their_order_and_leave_out_nulls() {
        let frame = df!(
            "plan" => ["b", "a", "b", "a"],
            "value" => [Some(1.0), Some(5.0), Some(3.0), None],
        )
        .unwrap();
        let described = describe(&frame, &["plan"], "value").unwrap();
        assert_eq!(texts(&described, "plan").unwrap(), ["b", "a"]);
        assert_eq!(numbers(&described, "n").unwrap(), [2.0, 1.0]);
        assert_eq!(numbers(&described, "mean").unwrap(), [2.0, 5.0]);
        assert!((numbers(&described, "sd").unwrap()[0] - 2f64.sqrt()).abs() < 1e-12);
        assert!(numbers(&described, "sd").unwrap()[1].is_nan());
        assert_eq!(only(&frame, "plan", "a").unwrap().height(), 2);
        assert_eq!(distinct(&frame, "value").unwrap(), [1.0, 3.0, 5.0]);
    }
}
