use std::path::Path;

use proptest::prelude::*;

use super::{CacheAddress, OpenOptions, StoreAddress};
use crate::doctor::Setup;
use crate::store::mongodb::driven;
use crate::url::{encoded, is_meant, shown, with_password};
use crate::{Error, RedisCache, legacy};

#[test]
fn what_is_meant_to_be_a_url_is_not_a_file() {
    for file in ["shop.db", "./a://b", "/a b://c", "C:\\x", "./u:p@h"] {
        assert_eq!(StoreAddress::parse(file).unwrap().path(), Some(Path::new(file)));
    }
    let mongodb = StoreAddress::parse("mongodb+srv://me:s3cret@h/db").unwrap();
    assert_eq!((mongodb.path(), mongodb.to_string().as_str()), (None, "mongodb+srv://h/db"));
    let problem = StoreAddress::parse("postgres://me:s3cret@h/db").unwrap_err().to_string();
    assert!(problem.contains("\"postgres\"; expected a file") && !problem.contains("s3cret"), "{problem}");
    for url in ["mongodb:/me:s3cret@h", "mongodb//me:s3cret@h", "me:s3cret@h/db", "s3cret://h", "redis:s3cret@h"] {
        let problem = url.parse::<StoreAddress>().unwrap_err().to_string();
        assert!(problem.contains("looks like a URL") && !problem.contains("s3cret"), "{problem}");
    }
}

#[test]
fn a_cache_and_a_store_in_each_others_place_are_told_apart() {
    let as_store = StoreAddress::parse("rediss://:s3cret@h").unwrap_err().to_string();
    assert!(as_store.starts_with("rediss://h: unknown scheme") && as_store.contains("Redis is a cache"), "{as_store}");
    let as_cache = CacheAddress::parse("mongodb://:s3cret@h").unwrap_err().to_string();
    assert!(
        as_cache.starts_with("mongodb://h: unknown scheme") && as_cache.contains("MongoDB is a store"),
        "{as_cache}"
    );
    assert_eq!(
        "redis-cluster://me:s3cret@h:1,i:2".parse::<CacheAddress>().unwrap().to_string(),
        "redis-cluster://h:1,i:2"
    );
    let error = Error::from("shop.db".parse::<CacheAddress>().unwrap_err()).to_string();
    assert!(error.starts_with("dictrack could not open the cache: unknown scheme; expected redis://"), "{error}");
}

#[test]
fn a_file_is_opened_to_write_and_to_look() {
    let folder = tempfile::tempdir().unwrap();
    let address = StoreAddress::parse(folder.path().join("shop.db")).unwrap();
    let open = |options: &OpenOptions| pollster::block_on(address.open(options));
    let look = OpenOptions::default().read_only();
    let error = open(&look).unwrap_err().to_string();
    assert!(error.ends_with("shop.db\": store does not exist"), "{error}");
    let examined = pollster::block_on(address.examine(&Setup::default(), &mut |_| ()));
    assert_eq!(examined.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["empty"]);
    let store = open(&OpenOptions::default().memory(1 << 20)).unwrap();
    assert!(matches!(open(&OpenOptions::default()), Err(Error::Owned { .. })));
    assert!(pollster::block_on(open(&look).unwrap().groups(None, 1)).unwrap().is_empty());
    drop(store);
    std::fs::write(address.path().unwrap(), "").unwrap();
    let error = open(&look).unwrap_err().to_string();
    assert!(error.ends_with("shop.db\": file is empty; no program has written to it yet"), "{error}");
}

const MARK: &str = "Geh3im";

/// Ways to write a URL with a password; the last ones have no host.
const FORMS: [&str; 18] = [
    "SCHEME://u:PASS@h",
    "SCHEME://:PASS@h:1/2",
    "SCHEME://PASS@h/2?prefix=a",
    "SCHEME://u:PASS@h:port",
    "SCHEME://h?password=PASS",
    "SCHEME://h/?PASS",
    "SCHEME://u:p@h/?readPreference=PASS",
    "SCHEME://u:p@h/?authMechanismProperties=PASS",
    "SCHEME:/u:PASS@h",
    "SCHEME:u:PASS@h",
    "SCHEME//u:PASS@h/2",
    "SCHEME;//u:PASS@h",
    "u:PASS@h",
    "u:PASS://h@h",
    " 'SCHEME://u:PASS@h'",
    "SCHEME://u:p@h#PASS",
    "SCHEME://:PASS",
    "SCHEME://u:PASS",
];

proptest! {
    #[test]
    fn a_password_never_appears(
        form in 0..FORMS.len(),
        scheme in prop::sample::select(vec!["redis", "rediss", "redis-cluster", "mongodb", "http", "unix", "xyz"]),
        before in "[a-z:/?#@%&=+ \\\\é漢\u{202e}\n\"']{0,6}",
        after in "[a-zA-Z0-9:/?#@%&=+, \\\\é漢\"']{0,6}",
        quoted: bool,
    ) {
        let form = FORMS[form];
        // What follows an @ is the host, unless another @ follows.
        let before = if form.ends_with(":PASS") { before.replace('@', "") } else { before };
        let password = format!("{before}{MARK}{after}");
        let password = if quoted { encoded(&password) } else { password };
        let url = form.replace("SCHEME", scheme).replace("PASS", &password);
        let mut said = vec![shown(&url)];
        match RedisCache::new(&url) {
            Ok(cache) => said.push(format!("{cache:?}")),
            Err(error) => said.push(format!("{error} {error:?}")),
        }
        match CacheAddress::parse(&url) {
            Ok(address) => said.push(format!("{address} {address:?}")),
            Err(error) => said.push(format!("{error} {error:?} {}", Error::from(error.clone()))),
        }
        match StoreAddress::parse(&url) {
            Ok(address) => said.push(format!("{address} {address:?}")),
            Err(error) => said.push(format!("{error} {error:?} {}", Error::from(error.clone()))),
        }
        match pollster::block_on(driven(&url)) {
            Ok(driven) => said.push(format!("{:?}", driven.options)),
            Err(problem) => said.push(problem),
        }
        if let Err(problem) = with_password(&url) {
            said.push(problem);
        }
        if RedisCache::new(&url).is_err() && pollster::block_on(driven(&url)).is_err() {
            // It never connects.
            let redis = legacy::redis::RedisSource::connect(&url, "x").map(drop);
            said.extend(redis.err().filter(|error| error.source_name.contains("URL")).map(|error| error.to_string()));
            let mongodb = legacy::mongodb::MongoSource::connect(&url, "x", "y").map(drop);
            said.extend(mongodb.err().map(|error| error.to_string()));
        }
        for text in &said {
            prop_assert!(!text.to_lowercase().contains("geh3im"), "{url:?}: {said:?}");
        }
        // Otherwise it would be the name of a file, which errors repeat.
        prop_assert!(is_meant(&url), "{url:?}");
    }
}
