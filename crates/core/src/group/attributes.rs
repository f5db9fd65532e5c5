//! Attributes: a small map of a group, such as its time zone.

use std::sync::Arc;

use super::{Group, GroupError};
use crate::json::{Json, Map};
use crate::zone::{Zone, ZoneError};

/// The most keys that the attributes of a group may have.
pub const MAX_ATTRIBUTES: usize = 64;
/// The most bytes that they may take as JSON.
pub const MAX_ATTRIBUTE_BYTES: usize = 4_096;

/// The attributes of a group, and its zone.
#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    map: Map,
    pub(super) zone: Option<Zone>,
}

impl Attributes {
    /// Checks a map of attributes.
    fn of(map: Map) -> Result<Self, GroupError> {
        let refuse = |problem: String| Err(GroupError::Attributes { problem });
        if map.len() > MAX_ATTRIBUTES {
            return refuse(format!("{} attributes; a group may have {MAX_ATTRIBUTES}", map.len()));
        }
        let bytes = Json::from(map.clone()).to_string().len();
        if bytes > MAX_ATTRIBUTE_BYTES {
            return refuse(format!("{bytes} bytes of attributes; a group may have {MAX_ATTRIBUTE_BYTES}"));
        }
        let zone = match map.get("zone") {
            None => None,
            Some(Json::Text(name)) => match name.parse() {
                Ok(zone) => Some(zone),
                Err(error) => return refuse(ZoneError::to_string(&error)),
            },
            Some(other) => {
                return refuse(format!(
                    "`zone` is {}; expected an IANA time zone such as \"Europe/Berlin\"",
                    other.kind()
                ));
            }
        };
        Ok(Self { map, zone })
    }

    pub(super) fn to_json(&self) -> Json {
        self.map.clone().into()
    }

    /// The attributes with this map, which a store holds; `None` if it is empty.
    pub(super) fn restore(map: &Map) -> Result<Option<Arc<Self>>, GroupError> {
        Ok(if map.is_empty() { None } else { Some(Arc::new(Self::of(map.clone())?)) })
    }
}

pub(super) fn map_of(attributes: Option<&Arc<Attributes>>) -> &Map {
    static NONE: Map = Map::new();
    attributes.map_or(&NONE, |attributes| &attributes.map)
}

impl Group {
    /// The attributes.
    pub fn attributes(&self) -> &Map {
        map_of(self.attributes.as_ref())
    }

    /// Merges `changes` into the attributes, key by key; `null` removes a key. Returns whether that changed anything.
    ///
    /// [`apply_templates`](Self::apply_templates) must follow, since other templates may apply now.
    ///
    /// If `zone` changes, windows without a zone of their own change when their current period ends, so that no day gets
    /// shorter.
    ///
    /// # Errors
    /// [`GroupError::Attributes`] if there would be too many, or if `zone` is not an IANA time zone. Nothing has changed then.
    pub fn set_attributes(&mut self, changes: &Map) -> Result<bool, GroupError> {
        let mut map = Map::new();
        let kept = self.attributes().iter().filter(|(key, _)| changes.get(key).is_none());
        for (key, value) in kept.chain(changes.iter().filter(|(_, value)| **value != Json::Null)) {
            map.insert(key.into(), value.clone());
        }
        if map == *self.attributes() {
            return Ok(false);
        }
        self.attributes = Attributes::restore(&map)?;
        self.templated = 0;
        self.version = self.version.saturating_add(1);
        Ok(true)
    }
}
