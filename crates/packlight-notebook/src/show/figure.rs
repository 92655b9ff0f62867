//! Figures, with how to read them below.

use super::{Show, escape};
use packlight_figure::Figure;

impl Show for Figure {
    fn html(&self) -> String {
        format!(
            "<figure style=\"margin:0;max-width:960px\">{}<figcaption>{}</figcaption></figure>",
            self.svg,
            escape(&self.how_to_read)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_shows_the_drawing_and_how_to_read_it() {
        let figure = Figure {
            id: "loss".into(),
            title: "The loss falls".into(),
            subtitle: String::new(),
            svg: "<svg></svg>".into(),
            csv: String::new(),
            how_to_read: "Lower & further left is better.".into(),
        };
        let html = figure.html();
        assert!(html.contains("<svg></svg>"));
        assert!(html.contains("Lower &amp; further left"));
    }
}
