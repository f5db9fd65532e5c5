//! Malicious pickles, and pickles that 2.1.5 cannot have written, with the error for each.

use crate::pickler::{Builder, call, float, global, int, list, map, none, object, op, pickle, set, text, truth, tuple};

/// Pickles that run `command` wherever pickles are executed.
pub(crate) const HARMFUL: [&str; 7] =
    ["os.system", "posix.system", "posix.system by STACK_GLOBAL", "builtins.eval", "builtins.exec", "INST", "OBJ"];

const KEYS: &str = "dictrack.conditions.keys";

type Case = (&'static str, Vec<u8>, String);

fn case(what: &'static str, pickle: Vec<u8>, expected: &str) -> Case {
    (what, pickle, expected.to_owned())
}

/// A pickle with these parts after the header of protocol 2.
fn raw(what: &'static str, parts: &[&[u8]], expected: &str) -> Case {
    case(what, [b"\x80\x02", &parts.concat()[..]].concat(), expected)
}

/// A tracker with this field.
fn field(what: &'static str, name: &'static str, value: Vec<u8>, expected: &str) -> Case {
    case(what, Builder::count().with(name, value).pickle(), expected)
}

/// A tracker with this condition.
fn condition(what: &'static str, class: &str, fields: &[(&str, Vec<u8>)], expected: &str) -> Case {
    let mut entries = vec![("cls", global(KEYS, class))];
    entries.extend(fields.iter().cloned());
    field(what, "conditions", list(&[map(&entries)]), expected)
}

fn count_limiter(count: Vec<u8>, remaining: Vec<u8>) -> Vec<u8> {
    let attributes = [("limited", truth(false)), ("count", count), ("remaining", remaining)];
    object("dictrack.limiters.count", "CountLimiter", &attributes)
}

fn time_limiter(start: Vec<u8>, end: Vec<u8>, interval: Vec<u8>) -> Vec<u8> {
    let attributes = [("limited", truth(false)), ("start", start), ("end", end), ("interval", interval)];
    object("dictrack.limiters.time", "TimeLimiter", &attributes)
}

fn span(days: i128, seconds: i128) -> Vec<u8> {
    call("datetime", "timedelta", &[int(days), int(seconds), int(0)])
}

fn limiter(what: &'static str, limiter: Vec<u8>, expected: &str) -> Case {
    field(what, "limiters", set(&[limiter]), expected)
}

/// Lists within lists.
fn nested(depth: usize) -> Vec<u8> {
    [vec![b']'; depth], vec![b'a'; depth - 1]].concat()
}

/// A list that contains the previous list `width` times, over `levels` levels.
fn laughs(levels: u8, width: usize) -> Vec<u8> {
    let mut bytes = b"(]q\x00".to_vec();
    for level in 1..=levels {
        bytes.extend_from_slice(b"](");
        bytes.extend([b'h', level - 1].repeat(width));
        bytes.extend_from_slice(&[b'e', b'q', level]);
    }
    bytes.push(b't');
    bytes
}

pub(crate) fn cases(command: &str) -> Vec<Case> {
    let mut cases = names(command);
    cases.extend(opcodes(command));
    cases.extend(sizes());
    cases.extend(stacks());
    cases.extend(fields());
    cases.extend(conditions());
    cases.extend(limiters());
    cases
}

fn names(command: &str) -> Vec<Case> {
    let program = format!("__import__('os').system({command:?})");
    let unknown = |at: usize, name: &str| {
        format!(
            "byte {at}: the Python name {name} does not belong to dictrack 2.1.5; expected its trackers, conditions and limiters"
        )
    };
    let called = |what, module: &str, name: &str, argument: &str| {
        let expected = unknown(2, &format!("\"{module}.{name}\""));
        case(what, pickle(&call(module, name, &[text(argument)])), &expected)
    };
    let named = |what, module: &str, name: &str| {
        case(what, pickle(&global(module, name)), &unknown(2, &format!("\"{module}.{name}\"")))
    };
    let long = pickle(&global("m", &"n".repeat(256)));
    vec![
        called("os.system", "os", "system", command),
        called("posix.system", "posix", "system", command),
        called("builtins.eval", "builtins", "eval", &program),
        called("builtins.exec", "__builtin__", "exec", &program),
        field(
            "os.system within a tracker",
            "progress",
            call("os", "system", &[text(command)]),
            &unknown(229, "\"os.system\""),
        ),
        named("getattr", "__builtin__", "getattr"),
        named("import_module", "importlib", "import_module"),
        named("Popen", "subprocess", "Popen"),
        named("copy_reg._reconstructor", "copy_reg", "_reconstructor"),
        named("copy_reg.__newobj__", "copy_reg", "__newobj__"),
        named("copyreg.add_extension", "copyreg", "add_extension"),
        named("attrgetter", "operator", "attrgetter"),
        named("partial", "functools", "partial"),
        named("FunctionType", "types", "FunctionType"),
        named("encode, as for bytes", "_codecs", "encode"),
        named("datetime", "datetime", "datetime"),
        named("Decimal", "decimal", "Decimal"),
        named("frozenset", "__builtin__", "frozenset"),
        named("set by its name in Python 3", "builtins", "set"),
        named("a base class of 2.1.5", "dictrack.trackers.base", "BaseTracker"),
        named("an abstract class of 2.1.5", "dictrack.trackers.numerics.numeric", "NumericTracker"),
        named("the manager of 2.1.5", "dictrack.manager", "TrackingManager"),
        named("a method of a class of 2.1.5", "dictrack.limiters.count", "CountLimiter.reset"),
        named("a class in other letters", KEYS, "keyexists"),
        named("a class of another module", "dictrack.limiters.time", "CountLimiter"),
        named("a class of an application", "shop.trackers", "RevenueTracker"),
        named("an empty name", "", ""),
        case(
            "a name of control characters",
            pickle(&global("o\u{1b}[2Js\r", "sys\u{202e}tem")),
            &unknown(2, r#""o\u{1b}[2Js\r.sys\u{202e}tem""#),
        ),
        case("a long name", long, &unknown(2, &format!("\"m.{}\"…", "n".repeat(58)))),
        case(
            "a name without an end",
            pickle(&global("m", &"n".repeat(300))),
            "byte 2: GLOBAL has a line longer than 256 bytes",
        ),
        raw("a name that is not UTF-8", &[b"c\xff\xfe\nx\n."], "byte 2: GLOBAL has a line that is not UTF-8"),
    ]
}

fn opcodes(command: &str) -> Vec<Case> {
    let short = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes()].concat();
    let refused = |name, code: u8, rest: &[u8]| {
        raw(name, &[&[code], rest, b"."], &format!("byte 2: unexpected opcode {name}, which 2.1.5 does not write"))
    };
    let class = global("dictrack.limiters.count", "CountLimiter");
    let tracker = global("dictrack.trackers.numerics.count", "CountTracker");
    vec![
        case(
            "posix.system by STACK_GLOBAL",
            [b"\x80\x04", &short("posix")[..], &short("system"), b"\x93", &short(command), b"\x85R."].concat(),
            "byte 0: pickle protocol 4; expected protocol 2, which 2.1.5 writes",
        ),
        raw(
            "STACK_GLOBAL in protocol 2",
            &[&text("posix"), &text("system"), b"\x93", &text(command), b"\x85R."],
            "byte 23: unexpected opcode STACK_GLOBAL, which 2.1.5 does not write",
        ),
        raw(
            "INST",
            &[b"(", &text(command), b"ios\nsystem\n."],
            &format!("byte {}: unexpected opcode INST, which 2.1.5 does not write", 8 + command.len()),
        ),
        raw(
            "OBJ",
            &[b"(", &global("os", "system"), &text(command), b"o."],
            r#"byte 3: the Python name "os.system" does not belong to dictrack 2.1.5; expected its trackers, conditions and limiters"#,
        ),
        case(
            "subprocess.Popen by NEWOBJ_EX",
            [
                b"\x80\x04",
                &short("subprocess")[..],
                &short("Popen"),
                b"\x93((",
                &text("sh"),
                &text("-c"),
                &text(command),
                b"tt",
                b"}\x92.",
            ]
            .concat(),
            "byte 0: pickle protocol 4; expected protocol 2, which 2.1.5 writes",
        ),
        raw(
            "NEWOBJ_EX in protocol 2",
            &[&class, b")}\x92."],
            "byte 42: unexpected opcode NEWOBJ_EX, which 2.1.5 does not write",
        ),
        refused("EXT1", 0x82, &[1]),
        refused("EXT2", 0x83, &[1, 0]),
        refused("EXT4", 0x84, &[1, 0, 0, 0]),
        refused("PERSID", b'P', b"x\n"),
        refused("BINPERSID", b'Q', b""),
        refused("PUT", b'p', b"0\n"),
        refused("GET", b'g', b"0\n"),
        refused("POP", b'0', b""),
        refused("POP_MARK", b'1', b""),
        refused("DUP", b'2', b""),
        refused("STRING", b'S', b"'x'\n"),
        refused("UNICODE", b'V', b"x\n"),
        refused("FLOAT", b'F', b"1.5\n"),
        refused("LONG", b'L', b"1L\n"),
        refused("LIST", b'l', b""),
        refused("DICT", b'd', b""),
        refused("EMPTY_SET", 0x8f, b""),
        refused("FROZENSET", 0x91, b""),
        refused("MEMOIZE", 0x94, b""),
        refused("BINBYTES", b'B', &[1, 0, 0, 0, 0]),
        refused("NEXT_BUFFER", 0x97, b""),
        raw("a second PROTO", &[b"\x80\x02."], "byte 2: unexpected opcode PROTO, which 2.1.5 does not write"),
        raw("a byte that is no opcode", &[b"\xff."], "byte 2: invalid opcode 0xff"),
        raw("BUILD on a map", &[b"}}b."], "byte 4: BUILD sets attributes of something that cannot have any"),
        raw("BUILD on a class", &[&class, b"}b."], "byte 41: BUILD sets attributes of something that cannot have any"),
        raw("BUILD on a set", &[&set(&[]), b"}b."], "byte 26: BUILD sets attributes of something that cannot have any"),
        raw(
            "BUILD with a pair of states",
            &[&class, b")\x81(}}tb."],
            "byte 46: BUILD has attributes that are not a map",
        ),
        raw(
            "BUILD a second time",
            &[&class, b")\x81}b}b."],
            "byte 45: BUILD sets the attributes of a CountLimiter twice",
        ),
        raw("a limiter without BUILD", &[&class, b")\x81."], "byte 41: CountLimiter has no attributes"),
        raw(
            "NEWOBJ of a tracker",
            &[&tracker, b")\x81."],
            "byte 50: NEWOBJ creates a CountTracker in a way that 2.1.5 does not",
        ),
        raw(
            "NEWOBJ of a set",
            &[&global("__builtin__", "set"), b")\x81."],
            "byte 20: NEWOBJ creates a set in a way that 2.1.5 does not",
        ),
        raw(
            "NEWOBJ with an argument",
            &[&class, b"(Nt\x81."],
            "byte 43: NEWOBJ creates a CountLimiter in a way that 2.1.5 does not",
        ),
        raw(
            "NEWOBJ of a text",
            &[&text("os"), b")\x81."],
            "byte 10: NEWOBJ creates an instance of something that is not a class",
        ),
        raw(
            "REDUCE of a limiter",
            &[&class, b"(Ntr\x00\x00\x00\x00R."],
            "byte 48: REDUCE calls CountLimiter in a way that 2.1.5 does not",
        ),
        raw("REDUCE of a text", &[&text("os"), b")R."], "byte 10: REDUCE calls something that is not a class"),
        raw(
            "REDUCE with a list",
            &[&global("__builtin__", "set"), b"]R."],
            "byte 20: REDUCE has arguments that are not a tuple",
        ),
        raw(
            "REDUCE of a set with a text",
            &[&call("__builtin__", "set", &[text("abc")]), b"."],
            "byte 29: REDUCE calls set in a way that 2.1.5 does not",
        ),
        raw(
            "REDUCE of a set with two lists",
            &[&call("__builtin__", "set", &[list(&[]), list(&[])]), b"."],
            "byte 27: REDUCE calls set in a way that 2.1.5 does not",
        ),
        raw(
            "a timedelta of floats",
            &[&call("datetime", "timedelta", &[float(1.0), int(0), int(0)]), b"."],
            "byte 43: REDUCE creates a timedelta from something other than days, seconds and microseconds",
        ),
        raw(
            "a timedelta of too many days",
            &[&span(1_000_000_000, 0), b"."],
            "byte 39: REDUCE creates a timedelta from something other than days, seconds and microseconds",
        ),
        raw(
            "a timedelta of too many seconds",
            &[&span(0, 86_400), b"."],
            "byte 39: REDUCE creates a timedelta from something other than days, seconds and microseconds",
        ),
        raw(
            "a timedelta of one part",
            &[&call("datetime", "timedelta", &[int(1)]), b"."],
            "byte 29: REDUCE calls timedelta in a way that 2.1.5 does not",
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let huge = [0xff; 8];
    let put = |at: u32| op(b'r', &at.to_le_bytes());
    let long_text = text(&"x".repeat(1 << 20));
    let many_puts: Vec<u8> = (0..600_000).flat_map(put).collect();
    let deep = |depth| pickle(&nested(depth));
    let limiter = global("dictrack.limiters.count", "CountLimiter");
    vec![
        case("nothing", vec![], "byte 0: not a pickle; expected protocol 2, which 2.1.5 writes"),
        case(
            "no pickle",
            b"{\"name\": \"x\"}".to_vec(),
            "byte 0: not a pickle; expected protocol 2, which 2.1.5 writes",
        ),
        case("protocol 0", b"(lp0\n.".to_vec(), "byte 0: not a pickle; expected protocol 2, which 2.1.5 writes"),
        case(
            "protocol 5",
            b"\x80\x05N.".to_vec(),
            "byte 0: pickle protocol 5; expected protocol 2, which 2.1.5 writes",
        ),
        case("a header", b"\x80\x02".to_vec(), "byte 2: the pickle is truncated: no STOP"),
        case(
            "17 MiB",
            [b"\x80\x02".to_vec(), vec![b'N'; 17 << 20]].concat(),
            "byte 0: pickle of 17825794 bytes; expected up to 16777216",
        ),
        raw(
            "4 GiB of text",
            &[b"X\xff\xff\xff\xff", b"abc."],
            "byte 2: the pickle is truncated: BINUNICODE of 4294967295 bytes, 4 left",
        ),
        raw("a text of -1 bytes", &[b"T\xff\xff\xff\xff."], "byte 2: BINSTRING of -1 bytes"),
        raw(
            "2 GiB of byte string",
            &[b"T\xff\xff\xff\x7f."],
            "byte 2: the pickle is truncated: BINSTRING of 2147483647 bytes, 1 left",
        ),
        raw(
            "BINUNICODE8 of all bytes there can be",
            &[b"\x8d", &huge, b"."],
            "byte 2: unexpected opcode BINUNICODE8, which 2.1.5 does not write",
        ),
        raw(
            "BINBYTES8 of all bytes there can be",
            &[b"\x8e", &huge, b"."],
            "byte 2: unexpected opcode BINBYTES8, which 2.1.5 does not write",
        ),
        raw(
            "BYTEARRAY8 of all bytes there can be",
            &[b"\x96", &huge, b"."],
            "byte 2: unexpected opcode BYTEARRAY8, which 2.1.5 does not write",
        ),
        raw(
            "FRAME of all bytes there can be",
            &[b"\x95", &huge, b"."],
            "byte 2: unexpected opcode FRAME, which 2.1.5 does not write",
        ),
        raw(
            "LONG4 of 2 GiB",
            &[b"\x8b\xff\xff\xff\x7f."],
            "byte 2: unexpected opcode LONG4, which 2.1.5 does not write",
        ),
        raw(
            "LONG1 of 17 bytes",
            &[b"\x8a\x11", &[1; 17], b"."],
            "byte 2: LONG1 is a whole number of 17 bytes; expected up to 16",
        ),
        raw("LONG1 that is cut", &[b"\x8a\xff\x01."], "byte 2: the pickle is truncated: LONG1 of 255 bytes, 2 left"),
        raw(
            "a number of many digits",
            &[b"I", &[b'9'; 100_000], b"\n."],
            "byte 2: INT has a line longer than 20 bytes",
        ),
        raw(
            "a number beyond 64 bits",
            &[b"I99999999999999999999\n."],
            r#"byte 2: INT is "99999999999999999999"; expected a whole number"#,
        ),
        raw("a number in hexadecimal", &[b"I0x10\n."], r#"byte 2: INT is "0x10"; expected a whole number"#),
        raw("a boolean of protocol 0", &[b"I01\n."], r#"byte 2: INT is "01"; expected a whole number"#),
        raw(
            "a text that is not UTF-8",
            &[b"X\x02\x00\x00\x00\xff\xfe."],
            "byte 2: BINUNICODE is a string that is not UTF-8",
        ),
        raw(
            "half a surrogate",
            &[b"X\x03\x00\x00\x00\xed\xa0\x80."],
            "byte 2: BINUNICODE is a string that is not UTF-8",
        ),
        raw(
            "a byte string that is not ASCII",
            &[b"U\x02\xc3\xa9."],
            "byte 2: SHORT_BINSTRING is a byte string that is not ASCII",
        ),
        raw("600,000 values", &[&[b'N'; 600_000], b"."], "byte 262146: NONE creates more than 262144 values"),
        raw("600,000 lists", &[&[b']'; 600_000], b"."], "byte 262146: EMPTY_LIST creates more than 262144 values"),
        raw(
            "600,000 values by the memo",
            &[b"Nq\x00", &b"h\x00".repeat(600_000), b"."],
            "byte 524291: BINGET creates a stack of more than 262144 values",
        ),
        raw(
            "600,000 memos",
            &[b"N", &many_puts, b"."],
            "byte 1310723: LONG_BINPUT creates a memo of more than 262144 values",
        ),
        raw("600,000 marks", &[&[b'('; 600_000], b"."], "byte 66: MARK nests more than 32 levels"),
        case("200,000 lists within lists", deep(200_000), "byte 34: values are nested more than 32 levels deep"),
        raw(
            "200,000 tuples within tuples",
            &[b"N", &[0x85; 200_000], b"."],
            "byte 199970: values are nested more than 32 levels deep",
        ),
        case("33 lists within lists", deep(33), "byte 34: values are nested more than 32 levels deep"),
        field(
            "lists within an operand",
            "conditions",
            list(&[nested(40)]),
            "byte 127: values are nested more than 32 levels deep",
        ),
        raw(
            "a billion laughs",
            &[&laughs(9, 10), b"."],
            "byte 3: the memo repeats values until there are more than 262144",
        ),
        raw(
            "laughs as wide as can be",
            &[&laughs(2, 1_000), b"."],
            "byte 3: the memo repeats values until there are more than 262144",
        ),
        raw(
            "a billion laughs of text",
            &[b"](", &long_text, b"q\x00", &b"h\x00".repeat(100), b"e."],
            "byte 4: the memo repeats strings until there are more than 16777216 bytes",
        ),
        raw("a list that holds itself", &[b"]q\x00h\x00a."], "byte 2: value contains itself"),
        raw("a map that holds itself", &[b"}q\x00", &text("a"), b"h\x00s."], "byte 2: value contains itself"),
        raw("a list and a tuple that hold each other", &[b"]q\x00(h\x00ta."], "byte 2: value contains itself"),
        raw(
            "a set that holds itself",
            &[&global("__builtin__", "set"), b"]q\x00\x85Rq\x01h\x00h\x01a\x86."],
            "byte 23: value contains itself",
        ),
        raw(
            "a limiter that holds itself",
            &[&limiter, b")\x81q\x00}", &text("a"), b"h\x00sb."],
            "byte 41: value contains itself",
        ),
        raw(
            "a limiter that holds its attributes",
            &[&limiter, b")\x81}q\x00", &text("a"), b"h\x00sb."],
            "byte 42: value contains itself",
        ),
        raw(
            "a map of 65 entries",
            &[b"}(", &(0..65).flat_map(|at| [text(&at.to_string()), none()].concat()).collect::<Vec<_>>(), b"u."],
            "byte 514: SETITEMS creates a map of more than 64 entries",
        ),
    ]
}

fn stacks() -> Vec<Case> {
    vec![
        raw("STOP without a value", &[b"."], "byte 2: STOP leaves 0 values; expected one"),
        raw("STOP with two values", &[b"NN."], "byte 4: STOP leaves 2 values; expected one"),
        raw("STOP with an open mark", &[b"N(."], "byte 4: STOP leaves a mark open"),
        raw("bytes behind STOP", &[b"N.N."], "byte 4: 2 bytes after the end of the pickle"),
        raw("TUPLE3 of two", &[b"NN\x87."], "byte 4: TUPLE3 lacks values on the stack"),
        raw("TUPLE1 across a mark", &[b"N(\x85."], "byte 4: TUPLE1 lacks values on the stack"),
        raw("TUPLE without a mark", &[b"Nt."], "byte 3: TUPLE lacks a mark on the stack"),
        raw("APPEND to nothing", &[b"Na."], "byte 3: APPEND lacks a value on the stack"),
        raw("APPEND to a map", &[b"}Na."], "byte 4: APPEND has no list to add to"),
        raw("APPENDS to a tuple", &[b")(Ne."], "byte 5: APPENDS has no list to add to"),
        raw("APPENDS without a mark", &[b"]Ne."], "byte 4: APPENDS lacks a mark on the stack"),
        raw("SETITEM on a list", &[b"]NNs."], "byte 5: SETITEM has no map to add to"),
        raw(
            "SETITEMS of a key without a value",
            &[b"}(", &text("a"), b"u."],
            "byte 10: SETITEMS has a key without a value",
        ),
        raw("REDUCE of nothing", &[b")R."], "byte 3: REDUCE lacks values on the stack"),
        raw("BUILD of nothing", &[b"}b."], "byte 3: BUILD lacks a value on the stack"),
        raw("BINPUT of nothing", &[b"q\x00."], "byte 2: BINPUT lacks a value on the stack"),
        raw("BINPUT across a mark", &[b"N(q\x00."], "byte 4: BINPUT lacks a value on the stack"),
        raw("BINPUT a second time", &[b"Nq\x00q\x00."], "byte 5: BINPUT writes memo 0 twice"),
        raw("BINGET of what is not there", &[b"h\x07."], "byte 2: BINGET reads memo 7, which was not written"),
        raw(
            "LONG_BINGET of what is not there",
            &[b"j\xff\xff\xff\xff."],
            "byte 2: LONG_BINGET reads memo 4294967295, which was not written",
        ),
        raw("a key that is a number", &[b"}", &int(1), b"Ns."], "byte 3: the number 1 as a map key; expected a string"),
        raw(
            "a key that is a class",
            &[b"}", &global("datetime", "timedelta"), b"Ns."],
            "byte 3: the class timedelta as a map key; expected a string",
        ),
        raw(
            "a key that stands twice",
            &[b"}(", &text("a"), b"N", &text("a"), b"Nu."],
            r#"byte 11: the key "a" appears twice in its map"#,
        ),
    ]
}

fn fields() -> Vec<Case> {
    let class = global("dictrack.limiters.count", "CountLimiter");
    let without = |what, name, expected: &str| case(what, Builder::count().without(name).pickle(), expected);
    let looping = |targets: &[i128]| {
        let rest: Vec<_> = targets[1..].iter().map(|target| int(*target)).collect();
        let tracker = Builder::count().with("target", int(targets[0])).with("multi_target", list(&rest));
        tracker.with("loop_forever", truth(true))
    };
    vec![
        case("None", pickle(b"N"), "byte 2: None; expected a map"),
        case("a list", pickle(b"]"), "byte 2: a list; expected a map"),
        case("a class", pickle(&class), "byte 2: the class CountLimiter; expected a map"),
        case("an empty map", pickle(b"}"), "byte 2: a map without `cls`"),
        case("a limiter", pickle(&count_limiter(int(1), int(1))), "byte 41: a CountLimiter without `cls`"),
        field(
            "a limiter's class",
            "cls",
            class,
            "byte 12: `cls` is the class CountLimiter; expected CountTracker or AccumulationTracker",
        ),
        field(
            "a class by its name",
            "cls",
            text("dictrack.trackers.numerics.count.CountTracker"),
            r#"byte 12: `cls` is the string "dictrack.trackers.numerics.count.CountTracker"; expected CountTracker or AccumulationTracker"#,
        ),
        without("no name", "name", "byte 2: a map without `name`"),
        without("no progress", "progress", "byte 2: a map without `progress`"),
        without("no loop_forever, as before 2.0", "loop_forever", "byte 2: a map without `loop_forever`"),
        case("a sum without a key", Builder::sum().without("key").pickle(), "byte 2: a map without `key`"),
        field("a count with a key", "key", text("amount"), r#"byte 323: a map with "key", which 2.1.5 does not store"#),
        field("listeners", "_listeners", map(&[]), r#"byte 330: a map with "_listeners", which 2.1.5 does not store"#),
        field(
            "a field of control characters",
            "\u{1b}[2J\n",
            none(),
            r#"byte 325: a map with "\u{1b}[2J\n", which 2.1.5 does not store"#,
        ),
        field("a name that is a number", "name", int(1), "byte 68: `name` is the number 1; expected a string"),
        field("a group that is None", "group_id", none(), "byte 206: `group_id` is None; expected a string"),
        field(
            "progress that is a text",
            "progress",
            text("1"),
            r#"byte 229: `progress` is the string "1"; expected a finite number"#,
        ),
        field(
            "progress that is True",
            "progress",
            truth(true),
            "byte 229: `progress` is True; expected a finite number",
        ),
        field(
            "progress that is NaN",
            "progress",
            float(f64::NAN),
            "byte 229: `progress` is the number NaN; expected a finite number",
        ),
        field(
            "progress that is infinite",
            "progress",
            float(f64::NEG_INFINITY),
            "byte 229: `progress` is the number -inf; expected a finite number",
        ),
        field(
            "progress out of range",
            "progress",
            float(1.7e20),
            "byte 229: `progress` is the number 1.7e20; expected a number between -1.7e20 and 1.7e20",
        ),
        field(
            "progress of 128 bits",
            "progress",
            int(i128::MIN),
            "byte 229: `progress` is the number -170141183460469231731687303715884105728; expected a number between -1.7e20 and 1.7e20",
        ),
        field("no target", "target", none(), "byte 145: `target` is None; expected a finite number"),
        field("a target that is True", "target", truth(true), "byte 145: `target` is True; expected a finite number"),
        field(
            "a target that is NaN",
            "target",
            float(f64::NAN),
            "byte 145: `target` is the number NaN; expected a finite number",
        ),
        field(
            "a target out of range",
            "target",
            int(-200_000_000_000_000_000_000),
            "byte 145: `target` is the number -200000000000000000000; expected a number between -1.7e20 and 1.7e20",
        ),
        field("targets in a tuple", "multi_target", tuple(&[]), "byte 168: `multi_target` is a tuple; expected a list"),
        field(
            "a target that is a list",
            "multi_target",
            list(&[list(&[])]),
            "byte 169: `multi_target` is a list; expected a finite number",
        ),
        field(
            "the stage 0",
            "current_stage",
            int(0),
            "byte 188: `current_stage` is the number 0; expected a whole number, 1 or greater",
        ),
        field(
            "a negative stage",
            "current_stage",
            int(-1),
            "byte 188: `current_stage` is the number -1; expected a whole number, 1 or greater",
        ),
        field(
            "a stage that is a float",
            "current_stage",
            float(1.0),
            "byte 188: `current_stage` is the number 1.0; expected a whole number, 1 or greater",
        ),
        field(
            "a stage of 128 bits",
            "current_stage",
            int(i128::MAX),
            "byte 188: `current_stage` is the number 170141183460469231731687303715884105727; expected a whole number, 1 or greater",
        ),
        field(
            "the policy 4",
            "reset_policy",
            int(4),
            "byte 292: `reset_policy` is the number 4; expected 0, 1, 2 or 3",
        ),
        field(
            "a policy that is True",
            "reset_policy",
            truth(true),
            "byte 292: `reset_policy` is True; expected 0, 1, 2 or 3",
        ),
        field(
            "loop_forever that is 1",
            "loop_forever",
            int(1),
            "byte 314: `loop_forever` is the number 1; expected True or False",
        ),
        field("limited that is None", "limited", none(), "byte 274: `limited` is None; expected True or False"),
        field(
            "limited without a limiter",
            "limited",
            truth(true),
            "byte 133: `limited` is True, but no limiter is used up; expected a used-up limiter or a TimeLimiter",
        ),
        field(
            "a completed tracker",
            "completed",
            truth(true),
            "byte 248: `completed` is True; expected False, since 2.1.5 deletes trackers that are completed or removed",
        ),
        field(
            "a removed tracker",
            "removed",
            truth(true),
            "byte 261: `removed` is True; expected False, since 2.1.5 deletes trackers that are completed or removed",
        ),
        field(
            "10,001 targets",
            "multi_target",
            list(&vec![int(20); 10_000]),
            "its definition is not valid here: target: 10001 targets; expected up to 10000",
        ),
        case(
            "a loop that falls",
            looping(&[10, 5]).pickle(),
            "its definition is not valid here: target: these targets cannot loop; expected positive, ascending targets because `loop_forever` is set",
        ),
        case(
            "a loop of nothing",
            looping(&[0]).pickle(),
            "its definition is not valid here: target: these targets cannot loop; expected positive, ascending targets because `loop_forever` is set",
        ),
        case(
            "a loop below nothing",
            looping(&[-5]).with("progress", int(7)).pickle(),
            "its definition is not valid here: target: these targets cannot loop; expected positive, ascending targets because `loop_forever` is set",
        ),
        case(
            "a loop whose first targets are gone",
            looping(&[10, 20]).with("current_stage", int(2)).pickle(),
            "`loop_forever` with passed targets that are no longer stored; expected all of them, which MongoDB may still have, or no passed targets",
        ),
        case(
            "a sum with a key that is a number",
            Builder::sum().with("key", int(1)).pickle(),
            "byte 337: `key` is the number 1; expected a string",
        ),
        case(
            "a sum with an empty key",
            Builder::sum().with("key", text("")).pickle(),
            r#"byte 337: `key` is the string ""; expected a path without empty segments, which 2.1.5 reads as empty keys but which are ignored here"#,
        ),
        case(
            "a sum with an empty segment",
            Builder::sum().with("key", text("a..b")).pickle(),
            r#"byte 337: `key` is the string "a..b"; expected a path without empty segments, which 2.1.5 reads as empty keys but which are ignored here"#,
        ),
    ]
}

fn conditions() -> Vec<Case> {
    let key = || ("key", text("a"));
    let op = |op: &str| ("op", text(&format!("<built-in function {op}>")));
    let exists = map(&[("cls", global(KEYS, "KeyExists")), key()]);
    vec![
        field("conditions in a tuple", "conditions", tuple(&[]), "byte 96: `conditions` is a tuple; expected a list"),
        field(
            "a condition that is a text",
            "conditions",
            list(&[text("a")]),
            r#"byte 97: the string "a"; expected a map"#,
        ),
        field(
            "a condition that is a tracker",
            "conditions",
            list(&[map(&[("cls", global("dictrack.trackers.numerics.count", "CountTracker")), key()])]),
            "byte 107: `cls` is the class CountTracker; expected a condition of 2.1.5",
        ),
        field(
            "10,001 conditions",
            "conditions",
            list(&vec![exists; 10_001]),
            "its definition is not valid here: conditions[10000]: too many conditions; expected up to 10000 in one definition",
        ),
        condition("a condition without a key", "KeyExists", &[], "byte 97: a map without `key`"),
        condition("a key that is None", "KeyExists", &[("key", none())], "byte 151: `key` is None; expected a string"),
        condition(
            "an empty key",
            "KeyNotExists",
            &[("key", text(""))],
            r#"byte 154: `key` is the string ""; expected a path without empty segments, which 2.1.5 reads as empty keys but which are ignored here"#,
        ),
        condition(
            "a key of dots",
            "KeyExists",
            &[("key", text(".a"))],
            r#"byte 151: `key` is the string ".a"; expected a path without empty segments, which 2.1.5 reads as empty keys but which are ignored here"#,
        ),
        condition(
            "a condition with more",
            "KeyExists",
            &[key(), ("value", int(1))],
            r#"byte 167: a map with "value", which 2.1.5 does not store"#,
        ),
        condition(
            "an operator that is not one of 2.1.5",
            "KeyValueComparison",
            &[key(), op("contains"), ("value", int(1))],
            r#"byte 173: `op` is the string "<built-in function contains>"; expected an operator of a KeyValueComparison"#,
        ),
        condition(
            "an operator of another class",
            "KeyValueEQ",
            &[key(), op("lt"), ("value", int(1))],
            r#"byte 165: `op` is the string "<built-in function lt>"; expected an operator of a KeyValueEQ"#,
        ),
        condition(
            "an operator that is None",
            "KeyValueEQ",
            &[key(), ("op", none()), ("value", int(1))],
            "byte 165: `op` is None; expected an operator of a KeyValueEQ",
        ),
        condition(
            "a comparison without an operator",
            "KeyValueEQ",
            &[key(), ("value", int(1))],
            "byte 97: a map without `op`",
        ),
        condition(
            "a tuple",
            "KeyValueEQ",
            &[key(), op("eq"), ("value", tuple(&[int(1)]))],
            "byte 208: `value` is a tuple; expected None, a boolean, a number or a string",
        ),
        condition(
            "a list as operand",
            "KeyValueNE",
            &[key(), op("ne"), ("value", list(&[int(1)]))],
            "byte 202: `value` is a list; expected None, a boolean, a number or a string",
        ),
        condition(
            "a map",
            "KeyValueEQ",
            &[key(), op("eq"), ("value", map(&[]))],
            "byte 202: `value` is a map; expected None, a boolean, a number or a string",
        ),
        condition(
            "a set",
            "KeyValueEQ",
            &[key(), op("eq"), ("value", set(&[]))],
            "byte 224: `value` is a set; expected None, a boolean, a number or a string",
        ),
        condition(
            "a class as operand",
            "KeyValueEQ",
            &[key(), op("eq"), ("value", global("datetime", "timedelta"))],
            "byte 202: `value` is the class timedelta; expected None, a boolean, a number or a string",
        ),
        condition(
            "a timedelta",
            "KeyValueGT",
            &[key(), op("gt"), ("value", span(1, 0))],
            "byte 239: `value` is a timedelta; expected a number or a string, since other types have no order",
        ),
        condition(
            "NaN",
            "KeyValueEQ",
            &[key(), op("eq"), ("value", float(f64::NAN))],
            "byte 202: `value` is the number NaN; expected a finite number",
        ),
        condition(
            "infinity",
            "KeyValueLT",
            &[key(), op("lt"), ("value", float(f64::INFINITY))],
            "byte 202: `value` is the number inf; expected a finite number",
        ),
        condition(
            "the order of None",
            "KeyValueLE",
            &[key(), op("le"), ("value", none())],
            "byte 202: `value` is None; expected a number or a string, since other types have no order",
        ),
        condition(
            "the order of a boolean",
            "KeyValueGE",
            &[key(), op("ge"), ("value", truth(false))],
            "byte 202: `value` is False; expected a number or a string, since other types have no order",
        ),
        condition(
            "a number within",
            "KeyValueContained",
            &[key(), ("value", int(1)), ("case_sensitive", truth(true))],
            "byte 175: `value` is the number 1; expected a string",
        ),
        condition(
            "case that is 1",
            "KeyValueContained",
            &[key(), ("value", text("a")), ("case_sensitive", int(1))],
            "byte 200: `case_sensitive` is the number 1; expected True or False",
        ),
        condition(
            "no case",
            "KeyValueNotContained",
            &[key(), ("value", text("a"))],
            "byte 97: a map without `case_sensitive`",
        ),
        condition(
            "one of nothing",
            "KeyValueInList",
            &[key(), ("value", list(&[]))],
            "byte 172: `value` is empty; expected a non-empty list or tuple",
        ),
        condition(
            "one of a text",
            "KeyValueNotInList",
            &[key(), ("value", text("abc"))],
            r#"byte 175: `value` is the string "abc"; expected a list or a tuple"#,
        ),
        condition(
            "one of a tuple",
            "KeyValueInList",
            &[key(), ("value", list(&[tuple(&[int(1)])]))],
            "byte 180: `value` is a tuple; expected None, a boolean, a number or a string",
        ),
        condition(
            "a float as an item",
            "KeyValueListHasItem",
            &[key(), ("value", float(1.0))],
            "byte 177: `value` is the number 1.0; expected a whole number or a string",
        ),
        condition(
            "None as an item",
            "KeyValueListNotHasItem",
            &[key(), ("value", none())],
            "byte 180: `value` is None; expected a whole number or a string",
        ),
        condition(
            "nothing in common",
            "KeyValueListIntersectList",
            &[key(), ("value", tuple(&[]))],
            "byte 184: `value` is empty; expected a non-empty list or tuple",
        ),
        condition(
            "a map in common",
            "KeyValueListNotIntersectList",
            &[key(), ("value", list(&[map(&[])]))],
            "byte 188: `value` is a map; expected None, a boolean, a number or a string",
        ),
    ]
}

fn limiters() -> Vec<Case> {
    let time = time_limiter;
    let object_with = |attributes: &[(&str, Vec<u8>)]| object("dictrack.limiters.count", "CountLimiter", attributes);
    let used_up = Builder::count().with("limited", truth(true)).with("limiters", set(&[count_limiter(int(5), int(1))]));
    let many: Vec<_> = (1..=65).map(|count| count_limiter(int(count), int(1))).collect();
    vec![
        field("limiters in a list", "limiters", list(&[]), "byte 111: `limiters` is a list; expected a set"),
        field("limiters in no set", "limiters", none(), "byte 111: `limiters` is None; expected a set"),
        field(
            "65 limiters",
            "limiters",
            set(&many),
            "its definition is not valid here: limiters: 65 limiters; expected up to 64",
        ),
        limiter(
            "a limiter that is a map",
            map(&[("limited", truth(false))]),
            "byte 131: `limiters` is a map; expected a CountLimiter or a TimeLimiter",
        ),
        limiter(
            "a limiter that is a class",
            global("dictrack.limiters.count", "CountLimiter"),
            "byte 131: the class CountLimiter; expected a map",
        ),
        limiter("a limiter that is a number", int(5), "byte 131: the number 5; expected a map"),
        limiter(
            "a count that is negative",
            count_limiter(int(-5), int(1)),
            "byte 170: CountLimiter with count -5; expected whole numbers from 0 to 18446744073709551615",
        ),
        limiter(
            "a count of 128 bits",
            count_limiter(int(i128::MAX), int(1)),
            "byte 170: CountLimiter with count 170141183460469231731687303715884105727; expected whole numbers from 0 to 18446744073709551615",
        ),
        limiter(
            "a count that is True",
            count_limiter(truth(true), int(1)),
            "byte 196: `count` is True; expected a whole number",
        ),
        limiter(
            "a count that is a float",
            count_limiter(float(5.0), int(1)),
            "byte 196: `count` is the number 5.0; expected a whole number",
        ),
        limiter(
            "what remains is NaN",
            count_limiter(int(5), float(f64::NAN)),
            "byte 215: `remaining` is the number NaN; expected a whole number",
        ),
        limiter(
            "what remains has 65 bits",
            count_limiter(int(5), int(1 << 64)),
            "byte 170: CountLimiter with count 5; expected whole numbers from 0 to 18446744073709551615",
        ),
        limiter(
            "a limiter without a count",
            object_with(&[("limited", truth(false)), ("remaining", int(1))]),
            "byte 170: a CountLimiter without `count`",
        ),
        limiter(
            "a limiter without its mark",
            object_with(&[("count", int(1)), ("remaining", int(1))]),
            "byte 170: a CountLimiter without `limited`",
        ),
        limiter(
            "a limiter with more",
            object_with(&[("limited", truth(false)), ("count", int(1)), ("remaining", int(1)), ("note", none())]),
            r#"byte 229: a CountLimiter with "note", which 2.1.5 does not store"#,
        ),
        limiter(
            "a limiter whose mark is 0",
            object_with(&[("limited", int(0)), ("count", int(1)), ("remaining", int(1))]),
            "byte 185: `limited` is the number 0; expected True or False",
        ),
        case(
            "limited while some remains",
            used_up.pickle(),
            "byte 224: `limited` is True, but no limiter is used up; expected a used-up limiter or a TimeLimiter",
        ),
        limiter(
            "a start that is a text",
            time(text("1"), int(2), span(0, 1)),
            r#"byte 194: `start` is the string "1"; expected a finite number"#,
        ),
        limiter(
            "a start that is NaN",
            time(float(f64::NAN), int(2), span(0, 1)),
            "byte 194: `start` is the number NaN; expected a finite number",
        ),
        limiter(
            "a start before all years",
            time(float(-1e300), int(2), span(0, 1)),
            "byte 194: `start` is the number -1e300; expected a timestamp in the years -9999 to 9999",
        ),
        limiter(
            "an end behind all years",
            time(int(1), int(i64::MAX.into()), span(0, 1)),
            "byte 207: `end` is the number 9223372036854775807; expected a timestamp in the years -9999 to 9999",
        ),
        limiter(
            "an end that is True",
            time(int(1), truth(true), span(0, 0)),
            "byte 207: `end` is True; expected a finite number",
        ),
        limiter(
            "an interval that is a number",
            time(int(1), int(2), int(1)),
            "byte 225: `interval` is the number 1; expected a timedelta",
        ),
        limiter(
            "an interval of another length",
            time(int(1), int(2), span(0, 2)),
            "byte 168: TimeLimiter interval does not match its start and end",
        ),
        limiter(
            "an end before the start",
            time(int(10), float(5.0), span(-1, 86_395)),
            "byte 168: TimeLimiter ends before it starts, so it admits nothing; expected a non-negative interval",
        ),
    ]
}
