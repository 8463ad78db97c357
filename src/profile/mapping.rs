//! Which object an address belongs to, and the `Mapping` entries of a profile.
//!
//! A file with named and with bare locations gets two entries. pprof looks at an entry's `has_*` flags and names either
//! all of its locations from the file or none; with one entry for both kinds, either our names (and what the seam has
//! cut) would be overwritten, or the bare addresses could never be named offline.

use std::collections::HashMap;

use super::intern::Strings;
use super::{Place, proto};
use crate::frame::Frame;
use crate::snapshot::Module;

/// The object that a native frame names. `modules` is ordered by id.
pub(super) fn named_by(frame: Frame, modules: &[Module]) -> Option<&Module> {
    let at = modules.binary_search_by_key(&frame.module(), |module| module.id).ok()?;
    Some(&modules[at])
}

/// Index of the object that a frame lies in. Go frames don't name one: they are found by address.
fn index_of(frame: Frame, modules: &[Module]) -> Option<usize> {
    if !frame.is_go() {
        return modules.binary_search_by_key(&frame.module(), |module| module.id).ok();
    }
    // Go code is never unloaded, so an object that has gone can't be the one.
    modules
        .iter()
        .position(|module| module.loaded && (module.start..module.limit).contains(&frame.call_address()))
}

/// Index of the program itself: pprof takes the first mapping of a profile for it.
///
/// It is the object whose file this process runs; else (a snapshot from elsewhere) the one that holds Go code; else
/// the first that was seen.
pub(super) fn main_module(modules: &[Module], places: &[Place]) -> Option<usize> {
    let program = std::env::current_exe().ok();
    let program = program.as_ref().and_then(|path| path.to_str());
    modules
        .iter()
        .position(|module| Some(module.path.as_str()) == program)
        .or_else(|| {
            let go = places
                .iter()
                .filter_map(|place| place.frame)
                .find(|frame| frame.is_go())?;
            index_of(go, modules)
        })
        .or_else(|| (!modules.is_empty()).then_some(0))
}

/// The `Mapping` entries of one profile.
pub(super) struct Mappings {
    entries: Vec<proto::Mapping>,
    /// By module index and whether the location is named.
    ids: HashMap<(usize, bool), u64>,
}

impl Mappings {
    pub(super) fn new(modules: &[Module], places: &[Place], strings: &mut Strings) -> Mappings {
        let mut used: HashMap<(usize, bool), ()> = HashMap::new();
        for place in places {
            if let Some(module) = place.frame.and_then(|frame| index_of(frame, modules)) {
                used.insert((module, !place.lines.is_empty()), ());
            }
        }
        let main = main_module(modules, places);
        let order = main
            .into_iter()
            .chain((0..modules.len()).filter(|&at| Some(at) != main));
        let mut mappings = Mappings {
            entries: Vec::new(),
            ids: HashMap::new(),
        };
        for at in order {
            for named in [true, false] {
                // The program itself is listed even when nothing lies in it: pprof shows its name, and would take
                // another object for it.
                let lonely_main = Some(at) == main && !named && !mappings.ids.contains_key(&(at, true));
                if used.contains_key(&(at, named)) || lonely_main {
                    mappings.push(at, &modules[at], named, strings);
                }
            }
        }
        mappings
    }

    fn push(&mut self, at: usize, module: &Module, named: bool, strings: &mut Strings) {
        let id = self.entries.len() as u64 + 1;
        let build_id: String = module.build_id.iter().map(|byte| format!("{byte:02x}")).collect();
        self.entries.push(proto::Mapping {
            id,
            memory_start: module.start,
            memory_limit: module.limit,
            file_offset: module.file_offset,
            filename: strings.number(&module.path),
            build_id: strings.number(&build_id),
            // All or none: whatever file and line we don't know, the file on disk doesn't know either, and one flag
            // less would invite pprof to replace our names by its own.
            has_functions: named,
            has_filenames: named,
            has_line_numbers: named,
            has_inline_frames: named,
        });
        self.ids.insert((at, named), id);
    }

    /// Id of the entry for `place`, 0 when it lies in no known object.
    pub(super) fn id(&self, place: &Place, modules: &[Module]) -> u64 {
        place
            .frame
            .and_then(|frame| index_of(frame, modules))
            .and_then(|at| self.ids.get(&(at, !place.lines.is_empty())).copied())
            .unwrap_or(0)
    }

    pub(super) fn into_vec(self) -> Vec<proto::Mapping> {
        self.entries
    }
}
