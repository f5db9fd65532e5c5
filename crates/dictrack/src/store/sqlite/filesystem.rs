//! What the file system of a store means for its safety.

use std::path::Path;

/// A file system on which a store is less safe than on a local disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSystem {
    /// A restart of the machine empties it.
    Memory,
    /// Other machines write to it too. They see neither the locks nor the shared memory that SQLite relies on.
    Network(&'static str),
    /// A program serves it, on this machine or elsewhere.
    Served(&'static str),
}

/// The numbers by which `statfs` identifies them.
const KNOWN: [(u32, FileSystem); 20] = [
    (0x0102_1994, FileSystem::Memory),
    (0x8584_58f6, FileSystem::Memory),
    (0x0000_6969, FileSystem::Network("NFS")),
    (0x0000_517b, FileSystem::Network("SMB")),
    (0xff53_4d42, FileSystem::Network("CIFS")),
    (0xfe53_4d42, FileSystem::Network("SMB")),
    (0x0000_564c, FileSystem::Network("NCP")),
    (0x5346_414f, FileSystem::Network("AFS")),
    (0x6b41_4653, FileSystem::Network("AFS")),
    (0x7375_7245, FileSystem::Network("Coda")),
    (0x00c3_6400, FileSystem::Network("Ceph")),
    (0x0bd0_0bd0, FileSystem::Network("Lustre")),
    (0x4750_4653, FileSystem::Network("GPFS")),
    (0x0116_1970, FileSystem::Network("GFS2")),
    (0x7461_636f, FileSystem::Network("OCFS2")),
    (0x2003_0528, FileSystem::Network("OrangeFS")),
    (0x6573_5546, FileSystem::Served("FUSE")),
    (0x0102_1997, FileSystem::Served("9P")),
    (0x786f_4256, FileSystem::Served("a shared folder of VirtualBox")),
    (0xbacb_acbc, FileSystem::Served("a shared folder of VMware")),
];

impl FileSystem {
    /// The file system of `path`, if it is one of these.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let kind = rustix::fs::statfs(path).ok()?.f_type;
        // Their width and sign differ between platforms.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers have 32 bits")]
        Self::named(kind as u32)
    }

    fn named(kind: u32) -> Option<Self> {
        KNOWN.iter().find(|(known, _)| *known == kind).map(|(_, found)| *found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_known_by_their_numbers() {
        assert_eq!(FileSystem::of(Path::new("/dev/shm")), Some(FileSystem::Memory));
        assert_eq!(FileSystem::of(Path::new("/proc")), None);
        assert_eq!(FileSystem::named(0x6969), Some(FileSystem::Network("NFS")));
        assert_eq!(FileSystem::named(0xff53_4d42), Some(FileSystem::Network("CIFS")));
        assert_eq!(FileSystem::named(0x6573_5546), Some(FileSystem::Served("FUSE")));
        assert_eq!(FileSystem::named(0xef53), None, "ext4");
    }
}
