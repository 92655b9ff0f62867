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

/// Rows that become CSV together.
const ROWS: usize = 8192;

/// The frame as CSV (RFC 4180, with line feeds) with a header; null is empty.
pub(crate) fn csv(frame: &DataFrame) -> Result<Vec<u8>> {
    let mut csv = Vec::new();
    let mut writer = csv::Writer::from_writer(&mut csv);
    writer.write_record(frame.get_column_names())?;
    for start in (0..frame.height()).step_by(ROWS) {
        let part = frame.slice(start as i64, ROWS);
        let columns = part.columns().iter().map(fields).collect::<Result<Vec<_>>>()?;
        for row in 0..part.height() {
            writer.write_record(columns.iter().map(|column| &column[row]))?;
        }
    }
    writer.flush().map_err(csv::Error::from)?;
    drop(writer);
    Ok(csv)
}

/// The values of a column as texts that parse back to the same values; empty for null.
fn fields(column: &Column) -> Result<Vec<String>> {
    fn all<T>(values: impl Iterator<Item = Option<T>>, said: fn(T) -> String) -> Vec<String> {
        values.map(|value| value.map(said).unwrap_or_default()).collect()
    }
    Ok(match column.dtype() {
        DataType::String => all(column.str()?.iter(), |text| text.to_owned()),
        DataType::Float64 => all(column.f64()?.iter(), |number| format!("{number:?}")),
        DataType::Boolean => all(column.bool()?.iter(), |truth| truth.to_string()),
        DataType::UInt64 => all(column.u64()?.iter(), |number| number.to_string()),
        DataType::Int64 => all(column.i64()?.iter(), |number| number.to_string()),
        _ => (0..column.len())
            .map(|row| Ok(column.get(row)?.to_string()))
            .collect::<PolarsResult<Vec<String>>>()?,
    })
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
