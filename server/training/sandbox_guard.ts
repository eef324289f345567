/** What runs ahead of untrusted code inside the sandbox's child: texts for Node's --import and for Python's -c that take away files, network and processes. */

/** Modules of Node that code under test may import; all others reach outside of its process. */
const ALLOWED = [
  'assert',
  'assert/strict',
  'async_hooks',
  'buffer',
  'console',
  'constants',
  'crypto',
  'events',
  'fs',
  'fs/promises',
  'os',
  'path',
  'path/posix',
  'path/win32',
  'perf_hooks',
  'process',
  'punycode',
  'querystring',
  'readline',
  'stream',
  'stream/promises',
  'stream/web',
  'string_decoder',
  'test',
  'timers',
  'timers/promises',
  'url',
  'util',
  'util/types',
  'zlib',
]

/**
 * Node's permission model already refuses files, child processes and addons; it lets the network and signals through. `assert`
 * becomes global, so that tests need no import that the answer may have made as well. A thread of the guard's own ends the
 * process when its time is over: the hub, which does so first, may have ended, and an endless loop would go on for ever.
 */
const nodeGuard = (endsMs: number): string => `
import assert from 'node:assert/strict'
import Module, { builtinModules, registerHooks, syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import os from 'node:os'
import { Worker } from 'node:worker_threads'
new Worker('setTimeout(() => process.kill(process.pid, "SIGKILL"), ${endsMs})', { eval: true, env: {}, execArgv: [] }).unref()
const allowed = new Set(${JSON.stringify(ALLOWED)})
const builtin = new Set(builtinModules)
registerHooks({
  resolve(specifier, context, next) {
    const name = specifier.replace(/^node:/, '')
    if ((specifier.startsWith('node:') || builtin.has(name)) && !allowed.has(name)) {
      throw new Error('The module ' + specifier + ' is not available to code under test.')
    }
    return next(specifier, context)
  },
})
for (const name of ['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest']) delete globalThis[name]
for (const name of ['getBuiltinModule', 'kill', '_kill', '_debugProcess', '_debugEnd', 'dlopen', 'binding', '_linkedBinding', 'execve']) {
  Object.defineProperty(process, name, { value: undefined, configurable: false, writable: false })
}
os.setPriority = undefined
// A later hook would be asked before the one above; a stream of the process has the class of all sockets.
for (const name of ['registerHooks', 'register']) Object.defineProperty(Module, name, { value: undefined })
const refuse = () => {
  throw new Error('The network is not available to code under test.')
}
Object.defineProperty(net.Socket.prototype, 'connect', { value: refuse })
const Handle = process.stdout._handle?.constructor.prototype ?? {}
for (const name of ['connect', 'bind', 'listen', 'open']) if (name in Handle) Object.defineProperty(Handle, name, { value: refuse })
syncBuiltinESMExports()
Object.defineProperty(globalThis, 'assert', { value: assert, configurable: true, writable: true })
`

/** What Node imports first. @param endsMs after which the process ends itself, whoever waits for it */
export function nodeGuardUrl(endsMs: number): string {
  return `data:text/javascript,${encodeURIComponent(nodeGuard(endsMs))}`
}

/**
 * Reads {code, memoryBytes, seconds, endsSeconds, mark} as JSON from stdin and runs the code as a module that is not __main__, so that
 * no main block waits for input. An audit hook cannot be taken away again; limits are set where the platform has them.
 */
export const PYTHON_GUARD = `
import sys, json, types, os, subprocess, threading
job = json.loads(sys.stdin.buffer.read().decode('utf-8'))
try:
    import resource
    for name, value in (('RLIMIT_AS', job['memoryBytes']), ('RLIMIT_CPU', job['seconds']), ('RLIMIT_FSIZE', 0), ('RLIMIT_CORE', 0)):
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            pass
except ImportError:
    pass
def guard():
    roots = tuple({os.path.normcase(os.path.realpath(each)) + os.sep for each in (sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__))})
    realpath, normcase, fsdecode, sep = os.path.realpath, os.path.normcase, os.fsdecode, os.sep
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    windows = sys.platform == 'win32'
    refused = ('socket.', 'subprocess.', 'os.', 'shutil.', 'ctypes.', 'winreg.', 'urllib.', 'http.', 'ftplib.', 'smtplib.', 'imaplib.', 'poplib.', 'webbrowser.', 'pty.', 'fcntl.', 'mmap.', 'signal.', 'tempfile.', '_winapi.', 'msvcrt.', 'syslog.', 'resource.', 'sqlite3.', 'pathlib.')
    harmless = {'os.listdir', 'os.scandir', 'os.walk', 'os.fwalk', 'os.putenv', 'os.unsetenv', 'os.add_dll_directory', 'os.listdrives', 'socket.__new__', 'socket.gethostname', 'sqlite3.connect/handle', '_winapi.CreateFile', 'pathlib.Path.glob', 'pathlib.Path.rglob'}
    def hook(event, args):
        if event == 'open':
            path, mode, flags = args
            if isinstance(path, int):
                return
            if flags is not None and flags & writing:
                raise PermissionError('code under test may not write files')
            where = normcase(realpath(fsdecode(path)))
            if not (where + sep).startswith(roots):
                raise PermissionError('code under test may not read files')
        elif event == 'import':
            if args[0] in ('_posixsubprocess', '_ctypes', 'ctypes'):
                raise PermissionError('code under test may not use ' + args[0])
        elif event == 'sqlite3.connect':
            if args[0] not in (':memory:', b':memory:'):
                raise PermissionError('code under test may not open files')
        elif windows and event in ('socket.bind', 'socket.connect') and args[1][0] in ('127.0.0.1', '::1'):
            return
        elif event not in harmless and event.startswith(refused):
            raise PermissionError('code under test may not use ' + event)
    # Without these an extension module would start processes that no event tells of.
    if hasattr(subprocess, '_fork_exec'):
        subprocess._fork_exec = None
    for name in ('_posixsubprocess', '_ctypes', 'ctypes'):
        sys.modules.pop(name, None)
    if hasattr(os, 'setpriority'):
        del os.setpriority
    sys.addaudithook(hook)
module = types.ModuleType('answer')
sys.modules['answer'] = module
program = compile(job['code'], '<answer>', 'exec')
mark = job['mark']
# Should the hub have ended, nobody else stops code that sleeps.
last = threading.Timer(job['endsSeconds'], os._exit, (1,))
last.daemon = True
last.start()
del job
sys.stdin = None
guard()
exec(program, module.__dict__)
sys.stdout.write(chr(10) + mark + chr(10))
sys.stdout.flush()
`
