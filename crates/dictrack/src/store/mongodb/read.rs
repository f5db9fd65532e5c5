//! Reading groups and marks.

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::FindOptions;

use super::document::{GroupDocument, foreign, held, place};
use super::lists::parts_of;
use super::server::Server;
use super::{Inner, READS};
use crate::Error;
use crate::store::{Held, Mark};

impl Inner {
    /// What the server holds of a group, with all its parts.
    pub(super) async fn read(&self, group: &str) -> Result<Option<GroupDocument>, Error> {
        for _ in 0..READS {
            let action = "read a group";
            let find = || self.server.find_one(action, &self.names.groups, doc! {"_id": group}, None);
            let Some(head) = Server::in_all(action, find).await? else { return Ok(None) };
            if let Some(stored) = self.completed(group, head).await? {
                return Ok(stored);
            }
        }
        let problem = "parts of it are missing";
        Err(Error::corrupt(self.server.name(), place(group), problem))
    }

    /// Adds the parts to a document; `None` if some are gone because the group was written meanwhile. A document that
    /// is only the trace of a claim has no group: `Some(None)`.
    pub(super) async fn completed(&self, group: &str, head: Document) -> Result<Option<Option<GroupDocument>>, Error> {
        let (version, _) = held(self.server.name(), group, &head)?;
        if version == 0 {
            return Ok(Some(None));
        }
        let ids = parts_of(&head);
        let parts = self.parts(&ids).await?;
        Ok(ids.iter().all(|id| parts.contains_key(id)).then_some(Some(GroupDocument { head, parts })))
    }

    pub(super) async fn held(&self, group: &str) -> Result<Held, Error> {
        let fields = Some(doc! {"version": 1, "claim": 1});
        let found = self.server.find_one("look at a group", &self.names.groups, doc! {"_id": group}, fields).await?;
        let Some(found) = found else { return Ok(Held::default()) };
        let (version, claim) = held(self.server.name(), group, &found)?;
        Ok(Held { version: version.unsigned_abs(), claim: claim.unsigned_abs() })
    }

    /// The `_id`s of the documents of groups.
    pub(super) async fn ids(&self, filter: Document, options: FindOptions) -> Result<Vec<String>, Error> {
        let mut options = options;
        options.projection = Some(doc! {"_id": 1});
        options.sort = Some(doc! {"_id": 1});
        let found = self.server.find("list groups", &self.names.groups, filter, options).await?;
        found
            .into_iter()
            .map(|mut document| match document.remove("_id") {
                Some(Bson::String(id)) => Ok(id),
                other => Err(foreign(self.server.name(), &doc! {"_id": other})),
            })
            .collect()
    }

    pub(super) async fn marks(&self) -> Result<Vec<Mark>, Error> {
        let options = FindOptions::builder().sort(doc! {"_id": 1}).build();
        let filter = doc! {"text": {"$ne": null}};
        let found = self.server.find("read the marks", &self.names.marks, filter, options).await?;
        found
            .iter()
            .map(|document| match (document.get_str("_id"), document.get_str("text")) {
                (Ok(name), Ok(text)) => Ok(Mark { name: name.to_owned(), text: Some(text.to_owned()) }),
                _ => {
                    let place = format!("a document of {}", self.names.marks);
                    Err(Error::corrupt(self.server.name(), place, "it is not a mark with a name and a text"))
                }
            })
            .collect()
    }
}
