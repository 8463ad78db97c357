//! What the models share. Each is a test of its own in tests/, so that it can put its own in the place of what is around the file
//! that it takes from src/. See Cargo.toml for the command.

/// Tries every interleaving with so many preemptions, and every value that a relaxed load may see.
pub fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
