//! The service file of a draft: the one that is there already, or one from the template.

use std::path::Path;

use super::{Draft, Format, Model, Output, Service, Tensor, Tensors, is_taken};
use crate::manifest::{Language, names};
use crate::service::Dtype;

/// The template of the service file.
pub(super) fn template(language: Language) -> &'static str {
    match language {
        Language::Python => include_str!("../../../templates/service.py.j2"),
        Language::R => include_str!("../../../templates/service.R.j2"),
    }
}

/// The service file that the template gives.
pub(super) fn new(language: Language) -> Service {
    match language {
        Language::Python => Service { file: "service.py", class: Some("Model".to_owned()), kept: false },
        Language::R => Service { file: "service.R", class: None, kept: false },
    }
}

/// The service file of a folder: what the user wrote is kept; what a template gave may be written anew.
pub(super) fn found(folder: &Path, draft: &Draft) -> Service {
    let new = new(draft.language);
    let path = folder.join(new.file);
    if !is_taken(&path) {
        return new;
    }
    // Reading a pipe would wait for ever.
    let text = path.is_file().then(|| crate::manifest::read(&path).ok()).flatten().unwrap_or_default();
    if is_template(&text, draft) {
        return new;
    }
    let class = new.class.and(first_class(&text));
    Service { class, kept: true, ..new }
}

/// Whether the template gives this text for a draft of any model, so that nothing in it is the user's.
fn is_template(text: &str, draft: &Draft) -> bool {
    let models = Format::ALL.map(|format| Some(Model { path: String::new(), format }));
    models.into_iter().chain([None]).any(|model| {
        let draft = Draft { model, ..draft.clone() };
        forms(&draft).any(|draft| draft.fill(template(draft.language)) == text)
    })
}

/// Returns drafts of the same model with every form of input and output.
fn forms(draft: &Draft) -> impl Iterator<Item = Draft> {
    let tensor = || Tensor { dtype: Dtype::Float64, shape: Vec::new() };
    let arrays = |output| Some(Tensors { input: tensor(), output });
    [None, arrays(None), arrays(Some(tensor()))]
        .into_iter()
        .flat_map(move |tensors| Output::ALL.map(|output| Draft { output, tensors: tensors.clone(), ..draft.clone() }))
}

/// Returns the first class of a Python file that is no exception.
fn first_class(text: &str) -> Option<String> {
    let classes = text.lines().filter_map(|line| line.strip_prefix("class ")?.split([':', '(', '[']).next());
    let mut names = classes.map(str::trim).filter(|name| !name.ends_with("Error") && (names::CLASS.accepts)(name));
    names.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_from_what_looks_like_one() {
        let first = |text| first_class(text);
        assert_eq!(first("class InputError(ValueError): pass\n\nclass Scorer:\n"), Some("Scorer".to_owned()));
        assert_eq!(first("# class A:\n    class B:\nclass C (Base):\n"), Some("C".to_owned()));
        assert_eq!(first("class if:\nclassic = 1\n"), None);
    }
}
