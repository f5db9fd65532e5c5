//! Templates: trackers that groups have without being given them one by one.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::condition::{self, Condition};
use crate::custom::Registry;
use crate::definition::{
    DefinitionError, Fields, MAX_CONDITIONS, MAX_NAME_BYTES, Read, TrackerDefinition, read_trackers,
};
use crate::engine::Engine;
use crate::group::{GroupError, TrackerList};
use crate::hash::ContentHash;
use crate::json::{Json, Map, Text, object};
use crate::source::{Node, NodeValue};
use crate::text::quoted;

/// The maximum number of templates of a manager.
pub const MAX_TEMPLATES: usize = 64;

/// The name of the template of trackers that all groups have.
pub const EVERYONE: &str = "everyone";

/// Trackers for all groups, or for those whose attributes satisfy conditions.
///
/// ```
/// use dictrack_core::{Condition, TrackerDefinition, template::Template};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let posts = TrackerDefinition::count("posts").target(10).build()?;
/// let exports = TrackerDefinition::count("exports").target(100).build()?;
/// let everyone = Template::everyone([posts])?;
/// let pro = Template::new("pro", [Condition::eq("plan", "pro")], [exports])?;
/// assert_eq!((everyone.conditions().len(), pro.trackers()[0].template()), (0, Some("pro")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Template {
    name: Text,
    conditions: Vec<Condition>,
    trackers: Vec<Arc<TrackerDefinition>>,
}

impl Template {
    /// Trackers for all groups.
    ///
    /// # Errors
    /// A [`DefinitionError`] if two trackers have the same name.
    pub fn everyone(trackers: impl IntoIterator<Item = TrackerDefinition>) -> Result<Self, DefinitionError> {
        Self::new(EVERYONE, [], trackers)
    }

    /// Trackers for the groups that satisfy all `conditions`. These read the attributes of the group like a document, and its
    /// id at the key `group`.
    ///
    /// # Errors
    /// A [`DefinitionError`] if the name is empty or too long, a condition is invalid or asks custom code, or two trackers have
    /// the same name.
    pub fn new(
        name: &str,
        conditions: impl IntoIterator<Item = Condition>,
        trackers: impl IntoIterator<Item = TrackerDefinition>,
    ) -> Result<Self, DefinitionError> {
        check_name(name)?;
        let conditions: Vec<_> = conditions.into_iter().collect();
        let mut left = MAX_CONDITIONS;
        for (at, condition) in conditions.iter().enumerate() {
            condition::check(condition, condition::Place::OUTERMOST, &mut left)
                .and_then(|()| check_plain(condition))
                .map_err(|error| error.within(&format!("for[{at}]")))?;
        }
        let trackers: Vec<_> = trackers.into_iter().map(|tracker| Arc::new(tracker.of_template(name))).collect();
        let mut names = HashSet::new();
        if let Some(at) = trackers.iter().position(|tracker| !names.insert(tracker.name())) {
            return Err(repeated(&trackers, at));
        }
        Ok(Self { name: name.into(), conditions, trackers })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the attributes of a group must satisfy; empty if all groups have the trackers.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The trackers.
    pub fn trackers(&self) -> &[Arc<TrackerDefinition>] {
        &self.trackers
    }

    /// The template as JSON.
    pub fn to_json(&self) -> Json {
        let list = |items: Vec<Json>| Json::List(items);
        object([
            ("name", self.name.as_str().into()),
            ("for", list(self.conditions.iter().map(Condition::to_json).collect())),
            ("trackers", list(self.trackers.iter().map(|tracker| tracker.without_template().to_json()).collect())),
        ])
    }

    fn read(node: &Node) -> Read<Self> {
        let mut fields = Fields::known(node, "a map that defines a template", &["name", "for", "trackers"])?;
        let name = fields.required("name", "a non-empty string", |node| node.text("a non-empty string"))?;
        let conditions = fields.required("for", "a list of conditions on the attributes of a group", |node| {
            let mut left = MAX_CONDITIONS;
            Node::each(node.list("a list of conditions")?, |node| {
                condition::read(node, condition::Place::OUTERMOST, &mut left)
            })
        })?;
        let trackers = fields.required("trackers", "a list of trackers", read_list)?;
        Self::new(name, conditions, trackers).map_err(|error| placed(error, node))
    }
}

fn read_list(node: &Node) -> Read<Vec<TrackerDefinition>> {
    Node::each(node.list("a list of trackers")?, TrackerDefinition::from_node)
}

/// An error found after reading, with its position in `source`.
fn placed(error: DefinitionError, source: &Node) -> DefinitionError {
    DefinitionError { at: source.place(&error.field), ..error }
}

fn check_name(name: &str) -> Read<()> {
    let expected = || format!("a name of 1 to {MAX_NAME_BYTES} bytes");
    match name.len() {
        0 => Err(DefinitionError::of("name", "an empty string", expected())),
        1..=MAX_NAME_BYTES => Ok(()),
        bytes => Err(DefinitionError::of("name", format!("name is {bytes} bytes long"), expected())),
    }
}

/// Templates are evaluated when attributes change, but what custom code looks at may change at any time.
fn check_plain(condition: &Condition) -> Read<()> {
    if condition.asks_custom() {
        return Err(DefinitionError::of("", "custom conditions are not possible here", "conditions on attributes"));
    }
    Ok(())
}

fn repeated(trackers: &[Arc<TrackerDefinition>], at: usize) -> DefinitionError {
    let problem = format!("an earlier tracker is already named {}", quoted(trackers[at].name()));
    DefinitionError::of("name", problem, "a unique name").within(&format!("trackers[{at}]"))
}

/// Reads the trackers for groups: `{"trackers": [ … ], "templates": [ … ]}`, of which one may be missing, or a bare list of
/// trackers. Trackers outside of templates are for [everyone](EVERYONE).
///
/// # Errors
/// A [`DefinitionError`] for the first template or tracker that is invalid or has the name of an earlier one.
pub fn read_templates(source: &Node) -> Read<Vec<Template>> {
    if !matches!(source.value, NodeValue::Map(_)) {
        return Ok(vec![Template::everyone(read_trackers(source)?)?]);
    }
    let expected = "a map with a `trackers` list, a `templates` list, or both";
    let mut fields = Fields::known(source, expected, &["trackers", "templates"])?;
    let everyone = fields.take("trackers", read_list)?.map(Template::everyone).transpose();
    let mut all: Vec<Template> = everyone.map_err(|error| placed(error, source))?.into_iter().collect();
    let unlisted = all.len();
    let listed = fields.take("templates", |node| Node::each(node.list("a list of templates")?, Template::read))?;
    if unlisted == 0 && listed.is_none() {
        return Err(source.refuse("neither `trackers` nor `templates`", expected));
    }
    all.extend(listed.unwrap_or_default());
    check_all(&all, unlisted).map_err(|error| placed(error, source))?;
    Ok(all)
}

/// Checks templates together, of which the first `unlisted` are not in the list `templates` of the source.
fn check_all(all: &[Template], unlisted: usize) -> Read<()> {
    if all.len() > MAX_TEMPLATES {
        let problem = format!("{} templates", all.len());
        return Err(DefinitionError::of("templates", problem, format!("up to {MAX_TEMPLATES}")));
    }
    let mut names = HashSet::new();
    let mut trackers = HashSet::new();
    for (at, template) in all.iter().enumerate() {
        let within = |error: DefinitionError| match at.checked_sub(unlisted) {
            Some(at) => error.within(&format!("templates[{at}]")),
            None => error,
        };
        if !names.insert(template.name()) {
            let problem = format!("an earlier template is already named {}", quoted(template.name()));
            let expected = format!("a unique name; trackers outside of templates are in the template {EVERYONE:?}");
            return Err(within(DefinitionError::of("name", problem, expected)));
        }
        if let Some(at) = template.trackers().iter().position(|tracker| !trackers.insert(tracker.name())) {
            return Err(within(repeated(template.trackers(), at)));
        }
    }
    Ok(())
}

/// The templates that hold at a time, all of which are applied to each group.
pub struct TemplateSet {
    templates: Vec<Template>,
    /// Identifies this set; never 0.
    key: u64,
    /// The lists of trackers of groups by which templates they satisfy. There are as many as combinations occur.
    lists: Mutex<HashMap<u64, TrackerList>>,
}

impl TemplateSet {
    /// The most lists that are kept prepared.
    const MOST_LISTS: usize = 1024;

    /// Checks templates together.
    ///
    /// # Errors
    /// A [`DefinitionError`] if there are too many, or two of them, or two of their trackers, have the same name.
    pub fn new(templates: Vec<Template>) -> Result<Self, DefinitionError> {
        check_all(&templates, 0)?;
        let parts = templates.iter().map(|template| template.to_json().to_string());
        let key = ContentHash::of(parts).short().max(1);
        Ok(Self { templates, key, lists: Mutex::default() })
    }

    /// The templates.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// Whether a tracker may run custom code.
    pub fn asks_custom(&self) -> bool {
        self.templates.iter().flat_map(Template::trackers).any(|tracker| tracker.asks_custom())
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// The trackers of a group with these attributes.
    pub(crate) fn list(&self, engine: &Engine, group: &str, attributes: &Map) -> Result<TrackerList, GroupError> {
        let facts = match self.templates.iter().all(|template| template.conditions.is_empty()) {
            true => Json::Null,
            false => facts(group, attributes),
        };
        let mut matching = 0;
        for (at, template) in self.templates.iter().enumerate() {
            let holds = |condition: &Condition| condition.holds(&facts, &Registry::default());
            let all: Result<Vec<bool>, _> = template.conditions.iter().map(holds).collect();
            matching |= u64::from(all?.into_iter().all(|holds| holds)) << at;
        }
        let mut lists = self.lists.lock();
        if let Some(list) = lists.get(&matching) {
            return Ok(list.clone());
        }
        let chosen = self.templates.iter().enumerate().filter(|(at, _)| matching >> at & 1 == 1);
        let trackers = chosen.flat_map(|(_, template)| template.trackers.iter().cloned()).collect();
        let list = TrackerList::new(trackers, engine)?;
        if lists.len() >= Self::MOST_LISTS {
            lists.clear();
        }
        lists.insert(matching, list.clone());
        Ok(list)
    }
}

/// What the conditions of templates look at: the attributes of a group, and its id.
fn facts(group: &str, attributes: &Map) -> Json {
    let mut facts = Map::new();
    for (key, value) in attributes.iter().filter(|(key, _)| *key != "group") {
        facts.insert(key.into(), value.clone());
    }
    facts.insert("group".into(), group.into());
    facts.into()
}

impl fmt::Debug for TemplateSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.templates).finish()
    }
}

/// The templates of an engine, which may be replaced at any time.
#[derive(Debug, Default)]
pub struct Templates {
    /// The key of the set, so that every document can compare it without a lock; 0 if there never was a set.
    key: AtomicU64,
    set: RwLock<Option<Arc<TemplateSet>>>,
}

impl Templates {
    /// Replaces the templates. Each group gets the trackers of the new ones, and loses those of others, when it is next
    /// touched.
    pub fn set(&self, templates: TemplateSet) {
        let mut set = self.set.write();
        self.key.store(templates.key, Ordering::Release);
        *set = Some(Arc::new(templates));
    }

    /// The current templates, if there are any.
    pub fn get(&self) -> Option<Arc<TemplateSet>> {
        self.set.read().clone()
    }

    #[inline]
    pub(crate) fn key(&self) -> u64 {
        self.key.load(Ordering::Acquire)
    }
}
