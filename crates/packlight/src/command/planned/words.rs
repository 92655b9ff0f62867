//! A plan's bytes, in words.

use super::{Fits, Planned, Row};
use crate::command::plans::what_is_frozen;
use crate::output::Output;

/// What estimated times of plans with codecs lack.
const NOT_TIMED: &str =
    "without packing, restoring and a codec's own gradient, which are not timed";

impl Planned {
    /// Whether any layer has a codec that computes.
    fn has_codecs(&self) -> bool {
        self.layers.iter().any(|row| row.codec.as_deref().is_some_and(|codec| codec != "none"))
    }

    pub(in crate::command) fn print(&self, out: &mut Output) -> anyhow::Result<()> {
        writeln!(out, "{}", self.model)?;
        writeln!(out, "plan {}, batch {}, {}, f32", self.plan, self.batch, self.optimizer)?;
        writeln!(out)?;
        let width = self.layers.iter().filter_map(|row| Some(row.layer.as_ref()?.len())).max();
        let codec = self.layers.iter().filter_map(|row| Some(row.codec.as_ref()?.len())).max();
        let (width, codec) = (width.unwrap_or(0).max(5), codec.unwrap_or(0).max(5));
        let heads = [
            "parameters",
            "gradients",
            "optimizer",
            "payload",
            "metadata",
            "workspace",
            "forward",
            "backward",
            "moved",
        ];
        let heads = heads.into_iter().chain(self.on.as_ref().map(|_| "about"));
        let heads: Vec<String> = heads.map(|head| format!("{head:>12}")).collect();
        writeln!(out, "{:width$}  {:10}  {:codec$}{}", "layer", "kind", "codec", heads.concat())?;
        for row in &self.layers {
            let name = row.layer.as_deref().unwrap_or_default();
            let own = row.codec.as_deref().unwrap_or_default();
            writeln!(out, "{name:width$}  {:10}  {own:codec$}{}", row.kind, row.in_words())?;
        }
        writeln!(out)?;
        for row in &self.kinds {
            writeln!(out, "{:width$}  {:10}  {:codec$}{}", "all", row.kind, "", row.in_words())?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "multiplications  {} forward, {} backward",
            times(self.forward_multiplications),
            times(self.backward_multiplications)
        )?;
        writeln!(
            out,
            "moved            {} ({} of them between layers)",
            amount(self.moved_bytes as usize),
            amount(self.moved_between as usize)
        )?;
        if let (Some(machine), Some(seconds)) = (&self.on, self.seconds) {
            let bf16 = self.seconds_in_bf16.map(|s| format!(", or {} in bf16", duration(s)));
            writeln!(out, "on               {}", machine.in_words())?;
            writeln!(
                out,
                "time             about {}{}: an estimate from formulas and these rates{}",
                duration(seconds),
                bf16.unwrap_or_default(),
                if self.has_codecs() { format!(", {NOT_TIMED}") } else { String::new() }
            )?;
        }
        let more = if self.kept_is_exact { "" } else { "at least " };
        writeln!(
            out,
            "parameters       {} ({} numbers)",
            amount(self.parameter_bytes),
            self.parameters
        )?;
        writeln!(out, "buffers          {}", amount(self.buffer_bytes))?;
        writeln!(out, "gradients        {}", amount(self.gradient_bytes))?;
        writeln!(out, "optimizer state  {}", amount(self.optimizer_bytes))?;
        writeln!(
            out,
            "kept             {more}{} (payload {}, metadata {})",
            amount(self.kept_bytes),
            amount(self.kept_payload),
            amount(self.kept_metadata)
        )?;
        if self.kept_peak_bytes > self.kept_bytes {
            let peak = amount(self.kept_peak_bytes);
            writeln!(out, "kept at most     {more}{peak}, in the backward pass, which recomputes")?;
        }
        let peak = &self.peak;
        let at = peak.layer.as_ref().map(|layer| format!(", at {layer}"));
        writeln!(
            out,
            "peak             {}{}: {} of parameters, buffers and optimizer state, {} kept, {} of \
             parameters' gradients, {} of activations and their gradients on their way, {} of workspace",
            amount(self.peak_bytes),
            at.unwrap_or_default(),
            amount(peak.resident),
            amount(peak.kept),
            amount(peak.parameter_gradients),
            amount(peak.flowing),
            amount(peak.workspace)
        )?;
        if let Some(Fits { bytes, fits }) = self.budget {
            let (bytes, difference) = (bytes as usize, (bytes as usize).abs_diff(self.peak_bytes));
            let verdict = match fits {
                true => format!("fits, {} are left for what is not counted", amount(difference)),
                false => format!("does not fit, {} are missing", amount(difference)),
            };
            writeln!(out, "budget           {}: {verdict}", amount(bytes))?;
        }
        if !self.kept_is_exact {
            let uncompressed = amount(self.depends_on_data_uncompressed);
            writeln!(
                out,
                "\nWhat layers with a range keep depends on the data (uncompressed {uncompressed}), and counts for \
                 nothing above. With it, {} to {} are kept.",
                amount(self.kept_at_least),
                amount(self.kept_at_most)
            )?;
        }
        writeln!(
            out,
            "\nNot counted: what codecs keep from step to step, what codecs and the optimizer allocate while they \
             work,\nthe data set, the program.{}",
            match &self.on {
                Some(machine) if machine.is_a_card() => " Nor the workspace of layers on the card.",
                _ => " Workspace is that of this machine's kernels and threads.",
            }
        )
    }
}

/// Lays plans side by side; the first is what the others are compared with.
pub(in crate::command) fn compare(plans: &[Planned], out: &mut Output) -> anyhow::Result<()> {
    let Some(first) = plans.first() else { return Ok(()) };
    writeln!(out, "{}", first.model)?;
    writeln!(out, "batch {}, {}, f32", first.batch, first.optimizer)?;
    writeln!(out)?;
    if let Some(machine) = &first.on {
        writeln!(out, "{}; times are estimates from formulas and these rates", machine.in_words())?;
        if plans.iter().any(Planned::has_codecs) {
            writeln!(out, "+ codecs: {NOT_TIMED}, so that the step takes longer")?;
        }
    }
    let time = if first.on.is_some() { "          time         " } else { "" };
    let width = plans.iter().map(|plan| plan.plan.len()).max().unwrap_or(0).max(4);
    writeln!(
        out,
        "{:width$}{:>14}{:>9}{:>16}{:>9}{}",
        "plan", "kept", "share", "peak", "share", time
    )?;
    for plan in plans {
        let share =
            |own: usize, of: usize| format!("{:.1} %", 100.0 * own as f64 / of.max(1) as f64);
        let codecs = if plan.has_codecs() { " + codecs" } else { "" };
        let budget = plan.budget.as_ref().map(|budget| match budget.fits {
            true => "  fits",
            false => "  does not fit",
        });
        writeln!(
            out,
            "{:width$}{:>14}{:>9}{:>16}{:>9}{}{}{}",
            plan.plan,
            amount(plan.kept_bytes),
            share(plan.kept_bytes, first.kept_bytes),
            amount(plan.peak_bytes),
            share(plan.peak_bytes, first.peak_bytes),
            plan.seconds.map(|s| format!("{:>14}{:9}", duration(s), codecs)).unwrap_or_default(),
            if plan.kept_is_exact { "" } else { "  and what depends on the data" },
            budget.unwrap_or_default()
        )?;
    }
    Ok(())
}

impl Row {
    /// The columns of bytes and of multiplications.
    fn in_words(&self) -> String {
        let columns = [self.parameter_bytes, self.gradient_bytes, self.optimizer_bytes];
        let columns = columns.into_iter().chain([self.kept_payload, self.kept_metadata]);
        let mut words: String = columns.map(|bytes| format!("{:>12}", amount(bytes))).collect();
        words += &format!("{:>12}", amount(self.workspace));
        for multiplications in [self.forward_multiplications, self.backward_multiplications] {
            words += &format!("{:>12}", times(multiplications));
        }
        words += &format!("{:>12}", amount(self.moved_bytes as usize));
        if let Some(seconds) = self.seconds {
            words += &format!("{:>12}", duration(seconds));
        }
        if self.depends_on_data {
            let (least, most) = (amount(self.kept_at_least), amount(self.kept_at_most));
            words += &format!("  {least} to {most}");
        }
        if self.kept_again > 0 {
            words += &format!("  {} in the backward pass", amount(self.kept_again));
        }
        // A kind's layers need not be alike.
        let frozen = what_is_frozen(self.parameters, self.trained).filter(|_| self.layer.is_some());
        words + &frozen.map(|frozen| format!("  {frozen}")).unwrap_or_default()
    }
}

/// A number of multiplications in the largest decimal unit of which there is at least one.
fn times(multiplications: u64) -> String {
    match multiplications {
        0 => "0".to_owned(),
        1..1_000_000 => format!("{:.1} K", multiplications as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", multiplications as f64 / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.1} G", multiplications as f64 / 1e9),
        _ => format!("{:.3} T", multiplications as f64 / 1e12),
    }
}

/// A time in the largest unit of which there is at least one.
fn duration(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        s if s < 1e-3 => format!("{:.1} µs", 1e6 * s),
        s if s < 1.0 => format!("{:.1} ms", 1e3 * s),
        s => format!("{s:.2} s"),
    }
}

/// Bytes in the largest decimal unit of which there is at least one.
pub(in crate::command) fn amount(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.3} GB", bytes as f64 / 1e9),
    }
}
