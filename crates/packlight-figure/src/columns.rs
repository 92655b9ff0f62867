//! Names below columns.

use crate::canvas::{Canvas, Frame};
use crate::names::Names;
use crate::{Result, text, theme};

/// The pixels that a name takes which reads upwards.
const LINE: usize = 13;

/// Of how many columns, `width` pixels wide together, one can have a name.
fn every(columns: usize, width: i32) -> usize {
    (columns * LINE).div_ceil(width.max(1) as usize).max(1)
}

/// Prints the names of columns upwards below `inside`, as many as there is room for, evenly. A pointer over a column,
/// from `top` to the end of the names, shows a name that is shortened or left out. Columns begin at `edge`.
pub(crate) fn names_below(
    canvas: &Canvas<'_>,
    inside: Frame,
    top: i32,
    names: &Names<'_>,
    edge: impl Fn(usize) -> i32,
) -> Result<()> {
    let every = every(names.len(), inside.right - inside.left);
    let bottom = inside.bottom + 6 + names.width(theme::TICK);
    for column in 0..names.len() {
        let (name, left, right) = (names.at(column), edge(column), edge(column + 1));
        let printed = column % every == 0;
        if printed {
            let length = text::width(name, theme::TICK);
            let at = ((left + right) / 2, inside.bottom + 6 + length / 2);
            canvas.print_upwards(at, name, theme::TICK)?;
        }
        if !printed || name != names.full(column) {
            let area = Frame { left, top, right: right.max(left + 1), bottom };
            canvas.hover(area, names.full(column));
        }
    }
    Ok(())
}
