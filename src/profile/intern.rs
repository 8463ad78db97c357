//! Numbers for things that occur often and are written once: places, functions, strings.

use std::collections::HashMap;

use super::{Line, Place, message};
use crate::tables::frame::Frame;

/// Distinct places, numbered from 0 in the order in which they came.
#[derive(Default)]
pub(super) struct Places {
    places: Vec<Place>,
    numbers: HashMap<Place, usize>,
    /// Most places are frames as they were named, with the lines of all the others like them behind one pointer:
    /// found here without looking at a string. The pointers stay valid because `places` holds the lines.
    shared: HashMap<(Option<Frame>, *const Line), usize>,
}

impl Places {
    pub(super) fn number(&mut self, place: Place) -> usize {
        let shared = (place.frame, place.lines.as_ptr());
        if let Some(&number) = self.shared.get(&shared)
            && self.places[number].lines.len() == place.lines.len()
        {
            return number;
        }
        let number = *self.numbers.entry(place.clone()).or_insert_with(|| {
            self.places.push(place.clone());
            self.places.len() - 1
        });
        // Only for lines that `places` keeps alive: the memory of any others may hold something else next time.
        if std::rc::Rc::ptr_eq(&self.places[number].lines, &place.lines) {
            self.shared.insert(shared, number);
        }
        number
    }

    pub(super) fn into_vec(self) -> Vec<Place> {
        self.places
    }
}

/// The string table of a profile: number 0 is the empty string.
pub(super) struct Strings {
    strings: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Strings {
    pub(super) fn new() -> Strings {
        Strings {
            strings: vec![String::new()],
            numbers: HashMap::from([(String::new(), 0)]),
        }
    }

    pub(super) fn number(&mut self, string: &str) -> i64 {
        if let Some(&number) = self.numbers.get(string) {
            return number;
        }
        let number = self.strings.len() as i64;
        self.strings.push(string.to_owned());
        self.numbers.insert(string.to_owned(), number);
        number
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.strings
    }
}

/// The functions of a profile, ids from 1. A line's number belongs to the location, not to the function.
#[derive(Default)]
pub(super) struct Functions {
    functions: Vec<message::Function>,
    ids: HashMap<(i64, i64, i64, i64), u64>,
}

impl Functions {
    pub(super) fn id(&mut self, line: &Line, strings: &mut Strings) -> u64 {
        let name = strings.number(&line.function);
        let system_name = strings.number(&line.system_name);
        let filename = strings.number(&line.file);
        let start_line = i64::from(line.start_line);
        *self
            .ids
            .entry((name, system_name, filename, start_line))
            .or_insert_with(|| {
                let id = self.functions.len() as u64 + 1;
                self.functions.push(message::Function {
                    id,
                    name,
                    system_name,
                    filename,
                    start_line,
                });
                id
            })
    }

    pub(super) fn into_vec(self) -> Vec<message::Function> {
        self.functions
    }
}
