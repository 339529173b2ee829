//! What was measured, for people and for programs: tables on the terminal and as Markdown, a page with
//! pictures, all figures as JSON, every latency as an HDR log.

mod html;
mod json;
mod page;
mod plot;
mod raw;
mod table;
mod verdict;

pub(crate) use raw::Raw;
pub(crate) use table::Table;
pub(crate) use verdict::Aim;

use crate::error::BenchError;
use crate::machine::About;
use crate::rounds::Contest;
use std::fs;
use std::path::Path;

/// One row of the bench, measured.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// What was done, with which data.
    pub(crate) about: String,
    pub(crate) contests: Vec<Contest>,
    /// What is compared in each contest.
    pub(crate) aims: Vec<Aim>,
    /// Figures that are no contest.
    pub(crate) tables: Vec<Table>,
    pub(crate) bars: Vec<Bars>,
    pub(crate) notes: Vec<String>,
}

/// Some figures of one unit, for a picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// Each with its name.
    pub(crate) bars: Vec<(String, f64)>,
}

/// All that was measured.
#[derive(Clone, Debug)]
pub struct Report {
    pub(crate) about: About,
    /// Lines on how it was measured.
    pub(crate) how: Vec<String>,
    /// Why figures may be no good.
    pub(crate) warnings: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

impl Report {
    /// As text for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        page::page(self, page::Form::Terminal)
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        page::page(self, page::Form::Markdown)
    }

    /// Writes it in all forms into a directory.
    ///
    /// # Errors
    /// The directory can not be written to.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), BenchError> {
        let files = [
            ("report.md", self.markdown()),
            ("report.html", html::html(self)),
            ("figures.json", json::json(self)),
            ("chart.svg", html::chart(self)),
        ];
        for (name, text) in files {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|error| BenchError::file(&path, &error))?;
        }
        Ok(())
    }
}
