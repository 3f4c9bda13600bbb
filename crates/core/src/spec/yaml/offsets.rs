//! Places in a YAML text.

/// Turns character positions into byte offsets.
pub(super) struct Offsets<'t> {
    pub(super) text: &'t str,
    // The byte offset of every 64th character; empty where every character is one byte.
    marks: Vec<usize>,
}

impl<'t> Offsets<'t> {
    const STEP: usize = 64;

    pub(super) fn new(text: &'t str) -> Self {
        let marks = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().step_by(Self::STEP).map(|(at, _)| at).collect(),
        };
        Self { text, marks }
    }

    pub(super) fn byte(&self, character: usize) -> usize {
        if self.marks.is_empty() {
            return character.min(self.text.len());
        }
        let Some(&mark) = self.marks.get(character / Self::STEP) else { return self.text.len() };
        let rest = self.text.get(mark..).unwrap_or_default();
        rest.char_indices().nth(character % Self::STEP).map_or(self.text.len(), |(at, _)| mark + at)
    }

    /// Moves the end of a block back over blank lines.
    pub(super) fn trim(&self, start: usize, end: usize) -> usize {
        self.text.get(start..end).map_or(end, |text| start + text.trim_end().len())
    }
}
