//! Which object an address belongs to, and the `Mapping` entries of a profile.
//!
//! One entry an object, marked as named even where addresses in it stay bare. Two entries, the second unmarked for the
//! bare ones, as Go's runtime has them, were tried and fail users twice: a pprof that fetched the profile asks the server
//! for the missing names, by a POST that net/http/pprof refuses since Go 1.22, and gives up on the whole profile; and it
//! takes a binary given on its command line for the first entry only. With one marked entry the fetch works, and
//! `go tool pprof -symbolize=force UNSTRIPPED-BINARY PROFILE` names every address of a stripped program.

use std::collections::{HashMap, HashSet};

use super::intern::Strings;
use super::{Place, message};
use crate::tables::frame::Frame;
use crate::tables::objects::Object;

/// The object that a native frame names. `objects` is ordered by id.
pub(super) fn named_by(frame: Frame, objects: &[Object]) -> Option<&Object> {
    let at = objects.binary_search_by_key(&frame.object(), |object| object.id).ok()?;
    Some(&objects[at])
}

/// Index of the object that a frame lies in. Go frames don't name one: they are found by address.
fn index_of(frame: Frame, objects: &[Object]) -> Option<usize> {
    if !frame.is_go() {
        return objects.binary_search_by_key(&frame.object(), |object| object.id).ok();
    }
    // Go code is never unloaded, so an object that has gone can't be the one.
    objects
        .iter()
        .position(|object| object.loaded && (object.start..object.limit).contains(&frame.call_address()))
}

/// Index of the program itself: pprof takes the first mapping of a profile for it.
///
/// It is the object whose file this process runs; else (a snapshot from elsewhere) the one that holds Go code; else
/// the first that was seen.
pub(super) fn main_object(objects: &[Object], places: &[Place]) -> Option<usize> {
    let program = std::env::current_exe().ok();
    let program = program.as_ref().and_then(|path| path.to_str());
    objects
        .iter()
        .position(|object| Some(object.path.as_str()) == program)
        .or_else(|| {
            let go = places
                .iter()
                .filter_map(|place| place.frame)
                .find(|frame| frame.is_go())?;
            index_of(go, objects)
        })
        .or_else(|| (!objects.is_empty()).then_some(0))
}

/// The `Mapping` entries of one profile.
pub(super) struct Mappings {
    entries: Vec<message::Mapping>,
    /// By object index.
    ids: HashMap<usize, u64>,
}

impl Mappings {
    pub(super) fn new(objects: &[Object], places: &[Place], strings: &mut Strings) -> Mappings {
        let used: HashSet<usize> = places
            .iter()
            .filter_map(|place| index_of(place.frame?, objects))
            .collect();
        let main = main_object(objects, places);
        let order = main
            .into_iter()
            .chain((0..objects.len()).filter(|&at| Some(at) != main));
        let mut mappings = Mappings {
            entries: Vec::new(),
            ids: HashMap::new(),
        };
        for at in order {
            // The program itself is listed even when nothing lies in it: pprof shows its name, and would take another
            // object for it.
            if used.contains(&at) || Some(at) == main {
                mappings.push(at, &objects[at], strings);
            }
        }
        mappings
    }

    fn push(&mut self, at: usize, object: &Object, strings: &mut Strings) {
        let id = self.entries.len() as u64 + 1;
        let build_id: String = object.build_id.iter().map(|byte| format!("{byte:02x}")).collect();
        self.entries.push(message::Mapping {
            id,
            memory_start: object.start,
            memory_limit: object.limit,
            file_offset: object.file_offset,
            filename: strings.number(&object.path),
            build_id: strings.number(&build_id),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        });
        self.ids.insert(at, id);
    }

    /// Id of the entry for `place`, 0 when it lies in no known object.
    pub(super) fn id(&self, place: &Place, objects: &[Object]) -> u64 {
        place
            .frame
            .and_then(|frame| index_of(frame, objects))
            .and_then(|at| self.ids.get(&at).copied())
            .unwrap_or(0)
    }

    pub(super) fn into_vec(self) -> Vec<message::Mapping> {
        self.entries
    }
}
