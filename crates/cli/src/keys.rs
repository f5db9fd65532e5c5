//! `dictrack keys`: who may use a server.

use dictrack::Manager;
use dictrack::json::Json;
use dictrack::text::{plain, quoted};
use dictrack_server::keys::{self, Key, NewKey, Scope};

use crate::moment::ZoneArg;
use crate::print::{say, say_json};
use crate::report::{Output, object};
use crate::store::{Where, wait};
use crate::{Failure, Outcome};

/// Create, list and revoke the keys of a server.
///
/// While a server runs on an SQLite file, only that server can change its keys:
/// see `/v1/keys` in docs/server.md.
///
/// Examples:
///   dictrack keys create --name operator --scope admin --store app.db
///   dictrack keys create --name shop --scope track --scope read \
///       --prefix shop: --cache redis://localhost --store mongodb://localhost/app
///   dictrack keys list --store app.db
///   dictrack keys revoke 5a0c1d2e3f405162 --store app.db
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Create a key and print it. Only its hash is stored, so it cannot be printed again.
    Create {
        /// What the key is for.
        #[arg(long, default_value = "")]
        name: String,
        /// What the key allows: track (track documents, set attributes), read (show, explain), define (change trackers of
        /// everyone) or admin (everything). May be given several times.
        #[arg(long, required = true)]
        scope: Vec<Scope>,
        /// Allow only groups whose ids begin with this.
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        #[command(flatten)]
        place: Where,
        /// The output format.
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// List the keys.
    List {
        #[command(flatten)]
        place: Where,
        /// The output format.
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Revoke a key.
    Revoke {
        /// The id of the key, which is its part between dt_ and the next _.
        id: String,
        #[command(flatten)]
        place: Where,
    },
}

pub(crate) fn keys(args: &Args) -> Outcome {
    match &args.action {
        Action::Create { name, scope, prefix, place, output } => {
            let mut new = NewKey::new(name, scope.iter().copied());
            new.prefix.clone_from(prefix);
            let manager = stored(place)?.manager(ZoneArg::default())?;
            let (key, token) = wait(keys::create(&manager, new))?;
            wait(manager.close())?;
            if output.is_json() {
                say_json(&object([("key", key.to_json()), ("token", token.into())]));
            } else {
                say(token);
            }
        }
        Action::List { place, output } => {
            let keys = wait(keys::list_all(&*stored(place)?.open()?.store))?;
            if output.is_json() {
                say_json(&keys.iter().map(Key::to_json).collect::<Vec<Json>>().into());
            } else if keys.is_empty() {
                say("no keys");
            } else {
                keys.iter().for_each(|key| say(line(key)));
            }
        }
        Action::Revoke { id, place } => revoke(id, &stored(place)?)?,
    }
    Ok(true)
}

/// The place, which must have a store.
fn stored(place: &Where) -> Result<Where, Failure> {
    let place = place.named()?;
    if place.has_store() {
        Ok(place)
    } else {
        Err(Failure("keys are in a store; use --store or DICTRACK_STORE".to_owned()))
    }
}

fn revoke(id: &str, place: &Where) -> Result<(), Failure> {
    // First for reading only, which does not create a store.
    let known = wait(keys::list_all(&*place.open()?.store))?;
    if !known.iter().any(|key| key.id == id) {
        return Err(Failure(format!("there is no key {}; `dictrack keys list` shows all", quoted(id))));
    }
    let manager: Manager = place.manager(ZoneArg::default())?;
    wait(keys::revoke(&manager, id))?;
    wait(manager.close())?;
    say(format_args!("key {id} is revoked"));
    Ok(())
}

/// `5a0c1d2e3f405162  track, read  shop:  2026-01-01T00:00:00Z  the shop`
fn line(key: &Key) -> String {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    let prefix = key.prefix.as_deref().map_or("all groups".to_owned(), |prefix| format!("groups {}…", plain(prefix)));
    format!("{}  {}  {prefix}  {}  {}", plain(&key.id), scopes.join(","), key.created, plain(&key.name))
}
