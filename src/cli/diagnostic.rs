//! Errors as a compiler shows them: the sentence, the place in the user's text, notes, hints.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::error::Error;

/// The text of `error`, with colours; whoever prints it strips them where they are not wanted.
pub(super) fn render(error: &Error) -> String {
    let code = error.code().to_string();
    let title = Level::ERROR.primary_title(error.message()).id(&code);
    let mut group = match error.excerpt() {
        Some(excerpt) => {
            let span = excerpt.span.start..excerpt.span.end.max(excerpt.span.start);
            let place = AnnotationKind::Primary.span(span).label(&excerpt.label);
            let snippet = Snippet::source(&*excerpt.text).path(&excerpt.origin).annotation(place);
            title.element(snippet)
        }
        None => Group::with_title(title),
    };
    for note in error.notes() {
        group = group.element(Level::NOTE.message(note));
    }
    for hint in error.hints() {
        group = group.element(Level::HELP.message(hint));
    }
    Renderer::styled().render(&[group])
}
