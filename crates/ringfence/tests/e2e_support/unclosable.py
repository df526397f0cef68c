"""A file system whose daemon never answers when a file is closed: whoever has to close one waits for ever, and not even
`SIGKILL` ends that. Follows `hostile.py`."""
import signal

def serve(device):
    while True:
        asked = os.read(device, 1 << 20)
        length, operation, unique, inode = struct.unpack("<IIQQ", asked[:24])
        def answer(data=b"", error=0):
            os.write(device, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
        def about(inode):
            mode = 0o40755 if inode == 1 else 0o100644
            return struct.pack("<QQQQQQ10I", inode, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
        if operation == 26:  # INIT
            answer(struct.pack("<IIIIHHII", 7, 31, 0, 0, 16, 16, 65536, 1) + bytes(36))
        elif operation == 1:  # LOOKUP
            answer(struct.pack("<QQQQII", 2, 0, 3600, 3600, 0, 0) + about(2))
        elif operation == 3:  # GETATTR
            answer(struct.pack("<QII", 3600, 0, 0) + about(inode))
        elif operation == 14:  # OPEN
            answer(struct.pack("<QII", 1, 0, 0))
        elif operation in (25, 2, 36):  # FLUSH, FORGET, INTERRUPT
            pass
        else:
            answer(error=0 if operation == 18 else 38)

def unclosable(at):
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"unclosable", at.encode(), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    daemon = os.fork()
    if daemon == 0:
        os.setgid(54322); os.setuid(54322)
        serve(device)
    os.close(device)
    return daemon, os.open(at + "/file", os.O_RDONLY)

daemon, file = unclosable(settings["at"])
# The control: a process that closes it does not end.
closer = os.fork()
if closer == 0:
    os.close(file)
    os._exit(0)
time.sleep(0.5)
assert os.waitpid(closer, os.WNOHANG) == (0, 0), "it can be closed"
print("unclosable", flush=True)
os.setgid(54322); os.setuid(54322)
