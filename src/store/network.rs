//! Which file systems are shared between hosts.
//!
//! SQLite's write-ahead log keeps its index in shared memory, which two hosts cannot share: on a cluster's network home
//! it would damage the history. There the slower rollback journal is used.

use std::path::Path;

#[cfg(target_os = "linux")]
pub(super) fn is_shared_between_hosts(folder: &Path) -> bool {
    // From linux/magic.h and the file systems' own headers.
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517B;
    const SMB2: u32 = 0xFE53_4D42;
    const CIFS: u32 = 0xFF53_4D42;
    const CEPH: u32 = 0x00C3_6400;
    const LUSTRE: u32 = 0x0BD0_0BD0;
    const GPFS: u32 = 0x4750_4653;
    const BEEGFS: u32 = 0x1983_0326;
    const AFS: u32 = 0x5346_414F;
    const PLAN9: u32 = 0x0102_1997;
    const FUSE: u32 = 0x6573_5546;
    let Ok(info) = rustix::fs::statfs(folder) else { return false };
    let shared = [NFS, SMB, SMB2, CIFS, CEPH, LUSTRE, GPFS, BEEGFS, AFS, PLAN9, FUSE];
    // The field's width and sign differ between architectures; the magic numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    shared.contains(&(info.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_shared_between_hosts(_folder: &Path) -> bool {
    false
}
