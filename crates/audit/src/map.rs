//! A file in memory that may be cut under us: the one module here with `unsafe`.
//!
//! Touching a page of a mapping that its file no longer has, or that the disk has no room for, raises SIGBUS, which ends a
//! process. Here it ends nothing: the handler puts an empty page of our own in its place and remembers, and
//! [`Map::lost`] says so ever after. What is written there is lost, so its writer must ask before it says that it is kept.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// Mappings of one process at a time. A log has two, one more for each full segment that the disk may not have yet, and one while such a
/// segment is written again.
pub(crate) const MAPS_MAX: usize = 64;

/// What the handler may know of a mapping.
struct Guard {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

static GUARDS: [Guard; MAPS_MAX] = [const {
    Guard {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        lost: AtomicBool::new(false),
    }
}; MAPS_MAX];

static PAGE: AtomicUsize = AtomicUsize::new(4096);
/// What handled SIGBUS before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// A whole file, shared with the page cache, read and written through bounds that are checked.
pub(crate) struct Map {
    start: NonNull<u8>,
    length: usize,
    guard: &'static Guard,
}

// SAFETY: the memory belongs to the mapping until it is dropped. Writers are kept apart by the log's lock, and the words that
// others look at are atomic.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `length` bytes of `file`, which it must have.
    pub(crate) fn new(file: &File, length: usize) -> io::Result<Self> {
        install()?;
        let guard = GUARDS
            .iter()
            .find(|guard| !guard.taken.swap(true, Ordering::AcqRel))
            .ok_or_else(|| io::Error::other(format!("more than {MAPS_MAX} files are mapped")))?;
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory of anyone.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        let mapped = (start != libc::MAP_FAILED)
            .then(|| NonNull::new(start.cast::<u8>()))
            .flatten();
        let Some(start) = mapped else {
            let error = io::Error::last_os_error();
            guard.taken.store(false, Ordering::Release);
            return Err(error);
        };
        guard.lost.store(false, Ordering::Relaxed);
        guard
            .end
            .store(start.as_ptr() as usize + length, Ordering::Relaxed);
        guard
            .start
            .store(start.as_ptr() as usize, Ordering::Release);
        Ok(Self {
            start,
            length,
            guard,
        })
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Whether some of it is no longer the file's: what was written since may be nowhere.
    pub(crate) fn lost(&self) -> bool {
        self.guard.lost.load(Ordering::Acquire)
    }

    /// Puts `bytes` at `at`.
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(
            at <= self.length && bytes.len() <= self.length - at,
            "a write beyond the mapping"
        );
        // SAFETY: the range is within the mapping, which `bytes` cannot overlap: no reference into it is ever given out.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len());
        }
    }

    /// Copies what stands at `at`. Nobody writes there meanwhile.
    pub(crate) fn read(&self, at: usize, into: &mut [u8]) {
        assert!(
            at <= self.length && into.len() <= self.length - at,
            "a look beyond the mapping"
        );
        // SAFETY: the range is within the mapping, which `into` cannot overlap: no reference into it is ever given out.
        unsafe {
            ptr::copy_nonoverlapping(self.start.as_ptr().add(at), into.as_mut_ptr(), into.len());
        }
    }

    /// Makes the pages before `to` present as they are. An error: the disk cannot give one that is not in memory any more.
    pub(crate) fn bring_in(&self, to: usize) -> io::Result<()> {
        self.advise(0, to, libc::MADV_POPULATE_READ)
    }

    /// Puts a word at `at`, a multiple of four, after everything that was written before.
    pub(crate) fn publish(&self, at: usize, word: u32) {
        assert!(
            at.is_multiple_of(4) && at < self.length && self.length - at >= 4,
            "a word beyond the mapping"
        );
        // SAFETY: within the mapping, aligned (it starts on a page), and only ever written as an atomic.
        let place = unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) };
        place.store(word.to_le(), Ordering::Release);
    }

    /// Makes the pages from `from` to `to` present and writable, so that no one waits for them later. An error: the disk
    /// cannot give them.
    pub(crate) fn populate(&self, from: usize, to: usize) -> io::Result<()> {
        self.advise(from, to, libc::MADV_POPULATE_WRITE)
    }

    fn advise(&self, from: usize, to: usize, advice: libc::c_int) -> io::Result<()> {
        let page = PAGE.load(Ordering::Relaxed);
        let from = from / page * page;
        let to = to.min(self.length);
        if from >= to {
            return Ok(());
        }
        // SAFETY: the range lies within the mapping; advice to make pages present changes no byte of it.
        let done =
            unsafe { libc::madvise(self.start.as_ptr().add(from).cast(), to - from, advice) };
        if done == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            // Before Linux 5.14: pages come when they are touched.
            e if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            e if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            e => Err(e),
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.guard.start.store(0, Ordering::Release);
        self.guard.end.store(0, Ordering::Release);
        // SAFETY: our own mapping, which nobody can name any more.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.length);
        }
        self.guard.taken.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map")
            .field("length", &self.length)
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

/// Takes over SIGBUS, once for the process.
fn install() -> io::Result<()> {
    static DONE: OnceLock<Result<(), i32>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        // SAFETY: plain calls with valid pointers; the handler does what a handler may.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE);
            PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
            let mut before: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before) != 0 {
                return Err(*libc::__errno_location());
            }
            BEFORE.get_or_init(|| before);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as extern "C" fn(_, _, _) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            if libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) != 0 {
                return Err(*libc::__errno_location());
            }
        }
        Ok(())
    });
    done.map_err(io::Error::from_raw_os_error)
}

/// Puts an empty page where the file has none. Loads, stores and `mmap` only: it may interrupt anything.
extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid `info` to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    for guard in &GUARDS {
        let start = guard.start.load(Ordering::Acquire);
        if start == 0 || address < start || address >= guard.end.load(Ordering::Relaxed) {
            continue;
        }
        guard.lost.store(true, Ordering::Release);
        let page = PAGE.load(Ordering::Relaxed);
        // SAFETY: replaces one page of our own mapping, which nobody holds a reference into.
        let put = unsafe {
            libc::mmap(
                (address / page * page) as *mut libc::c_void,
                page,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if put != libc::MAP_FAILED {
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Not ours: whoever was there before decides, and the default is to end.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = BEFORE.get();
    // SAFETY: the action was installed by someone else for exactly these arguments.
    unsafe {
        match before {
            Some(action)
                if action.sa_flags & libc::SA_SIGINFO != 0
                    && action.sa_sigaction != libc::SIG_DFL
                    && action.sa_sigaction != libc::SIG_IGN =>
            {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(action.sa_sigaction);
                handler(signal, info, context);
            }
            _ => {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_under_it_is_lost_and_ends_nothing() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16_384).unwrap();
        let map = Map::new(&file, 16_384).unwrap();
        map.write(100, b"kept");
        assert!(!map.lost());
        file.set_len(4096).unwrap();
        map.write(100, b"kept too");
        assert!(!map.lost(), "that page is still the file's");
        map.write(8000, &[7; 1000]);
        assert!(map.lost());
        map.publish(12_000, 5);
        assert!(map.populate(8192, 16_384).is_ok() || map.lost());
    }

    #[test]
    fn a_mapping_tells_when_the_disk_cannot_give_its_pages() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16_384).unwrap();
        let map = Map::new(&file, 16_384).unwrap();
        map.populate(0, 16_384).unwrap();
        file.set_len(4096).unwrap();
        map.populate(4096, 16_384).unwrap_err();
    }

    #[test]
    #[should_panic(expected = "beyond the mapping")]
    fn no_write_leaves_it() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        Map::new(&file, 4096).unwrap().write(4090, &[1; 7]);
    }

    #[test]
    fn a_place_is_given_back() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        for _ in 0..3 * MAPS_MAX {
            Map::new(&file, 4096).unwrap();
        }
    }
}
