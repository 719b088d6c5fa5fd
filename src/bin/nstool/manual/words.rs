//! What the manual pages say beyond the help texts.

/// A section: entries of a term (bold; none for a paragraph) and its text.
pub(super) struct Section<'a> {
    pub(super) heading: &'a str,
    pub(super) entries: &'a [(&'a str, &'a str)],
}

type Words = &'static [Section<'static>];

const fn section(heading: &'static str, entries: &'static [(&'static str, &'static str)]) -> Section<'static> {
    Section { heading, entries }
}

/// On the pages of all that take a TARGET.
pub(super) const TARGETS: Section<'static> = section(
    "TARGETS",
    &[
        ("PID", "A process."),
        (
            "PID:INODE",
            "A process, and the inode of its pidfd: safe where the process id may have been given to another.",
        ),
        ("self", "nstool itself, so the process that started it."),
        ("ns:INODE", "A namespace by its inode, which nstool-ls(1) and the links below /proc/PID/ns show."),
        ("PATH", "A file of a namespace, such as /run/netns/blue or /proc/7/ns/net; it holds a slash."),
        ("netns:NAME", "A network namespace by the name that ip-netns(8) gave."),
    ],
);

/// On every page.
pub(super) const COMMON: Words = &[section(
    "ENVIRONMENT",
    &[
        ("NO_COLOR", "If set and not empty, nothing is coloured, unless --color says otherwise."),
        ("COLUMNS", "The width of the terminal, instead of what the terminal says."),
        ("TERM", "Where it is \"dumb\", nothing is coloured."),
    ],
)];

const PROC: &[(&str, &str)] = &[("/proc/PID/ns/", "The namespaces of a process (namespaces(7)).")];

const OF_ALL: Section<'static> = section(
    "FILES",
    &[
        ("/proc/PID/ns/", "The namespaces of a process (namespaces(7))."),
        ("/proc/PID/mountinfo", "The mounts a process sees (proc(5))."),
        ("/run/netns/", "The network namespaces that ip-netns(8) named."),
    ],
);

const GENERAL: Section<'static> = section(
    "NOTES",
    &[
        (
            "",
            "Data goes to standard output, remarks to standard error. On a terminal lines are broken between words, and columns that are only there to recognise something by, such as COMMAND, are cut; a command to run or a path is never broken, so that it can be copied: where it is longer than a line, the terminal goes on with it in the next. Output to anything but a terminal is neither cut, broken nor coloured. Names of processes, paths and hosts are printed with their control characters escaped.",
        ),
        (
            "",
            "Root sees everything in its pid namespace. Other users see the namespaces of their own processes; how much stayed hidden is said on standard error, and in JSON below the key \"hidden\".",
        ),
        (
            "",
            "Linux 4.18 and newer. Newer interfaces are used where the kernel has them; nstool version --verbose lists them.",
        ),
        (
            "",
            "Called as lsns, nsenter or unshare, by a link of that name, it takes the command line of util-linux's program and does as that does; so it does with lsns or nsenter as its first word.",
        ),
    ],
);

const RELATED: Section<'static> =
    section("SEE ALSO", &[("lsns(8)", ""), ("nsenter(1)", ""), ("unshare(1)", ""), ("namespaces(7)", "")]);

/// The pages of verbs without words of their own.
pub(super) const TOP: Words = &[OF_ALL, GENERAL, RELATED];

/// The page of nstool itself, and those of its verbs.
pub(super) const VERBS: &[(&str, Words)] = &[
    (
        "nstool",
        &[
            section(
                "EXIT STATUS",
                &[
                    (
                        "0",
                        "Done; of the commands that ask (compare, mounts --check-shared, mounts diff, mounts reach --to): the same, clean, yes.",
                    ),
                    ("1", "Trouble; of the commands that ask: different, found, no."),
                    ("2", "A command line that cannot work; of the commands that ask also trouble."),
                    (
                        "125",
                        "Of enter and unshare: a failure of nstool's own. Otherwise they end as the command does that they run: with its status, or by the same signal.",
                    ),
                    ("126, 127", "Of enter and unshare: the command cannot be executed, or is not found."),
                ],
            ),
            OF_ALL,
            GENERAL,
            section(
                "EXAMPLES",
                &[
                    ("nstool ls", "All namespaces that can be seen."),
                    ("nstool why netns:blue", "What keeps a network namespace, and how to release it."),
                    (
                        "nstool enter 4711 -n -- ip addr",
                        "The addresses in the network of process 4711, with our own ip(8).",
                    ),
                    (
                        "nstool unshare -r -p --mount-proc --init sh",
                        "A shell that sees only its own processes, for ordinary users too.",
                    ),
                ],
            ),
            RELATED,
        ],
    ),
    (
        "nstool-ls",
        &[
            section("FILES", PROC),
            section(
                "NOTES",
                &[
                    (
                        "",
                        "The options, columns and filters are those of lsns(8), with the same letters and meaning; HOLDERS, HELD-BY, NAME, ID and THREADS are further columns. The filters are scols-filter(5)'s.",
                    ),
                    (
                        "",
                        "A namespace lives as long as something holds it: a process or a thread in it, a descriptor or a bind mount of its file, a socket, a child or an owned namespace. From user space nobody sees descriptors that are in flight between processes.",
                    ),
                    (
                        "",
                        "Root sees all namespaces of its pid namespace's processes. Other users see those of their own; what stays hidden is counted on standard error.",
                    ),
                ],
            ),
            section("SEE ALSO", &[("nstool-why(1)", ""), ("lsns(8)", ""), ("ip-netns(8)", ""), ("namespaces(7)", "")]),
        ],
    ),
    (
        "nstool-show",
        &[
            section("FILES", PROC),
            section(
                "NOTES",
                &[(
                    "",
                    "Reading a process of another user needs the rights of ptrace(2): root, or CAP_SYS_PTRACE in the user namespace that owns it. To look into a network namespace nstool joins it in a thread of its own, which needs CAP_SYS_ADMIN over it.",
                )],
            ),
            section(
                "SEE ALSO",
                &[
                    ("nstool-why(1)", ""),
                    ("nstool-compare(1)", ""),
                    ("capabilities(7)", ""),
                    ("user_namespaces(7)", ""),
                ],
            ),
        ],
    ),
    (
        "nstool-why",
        &[
            section(
                "FILES",
                &[
                    ("/proc/PID/fd/", "The descriptors of a process, of which some hold namespaces."),
                    ("/proc/PID/mountinfo", "The mounts a process sees, of which some hold namespaces."),
                ],
            ),
            section(
                "NOTES",
                &[(
                    "",
                    "To see what other users' processes hold, run it as root. Nobody sees from user space what the kernel itself holds, nor descriptors in flight between processes.",
                )],
            ),
            section("SEE ALSO", &[("nstool-ls(1)", ""), ("ip-netns(8)", ""), ("namespaces(7)", "")]),
        ],
    ),
    (
        "nstool-compare",
        &[
            section("FILES", PROC),
            section(
                "NOTES",
                &[(
                    "",
                    "Reading a process of another user needs the rights of ptrace(2). How two user namespaces relate is seen as far as the kernel shows their parents, that is, from one's own downwards.",
                )],
            ),
            section("SEE ALSO", &[("nstool-show(1)", ""), ("nstool-mounts(1)", ""), ("namespaces(7)", "")]),
        ],
    ),
    (
        "nstool-mounts",
        &[
            section("FILES", &[("/proc/PID/mountinfo", "The mounts a process sees (proc(5)).")]),
            section(
                "NOTES",
                &[(
                    "",
                    "The mounts of other users' processes are read as root. Peer groups and masters are numbered per kernel: the same number in two mount namespaces is the same group.",
                )],
            ),
            section("SEE ALSO", &[("findmnt(8)", ""), ("mount(8)", ""), ("mount_namespaces(7)", "")]),
        ],
    ),
    (
        "nstool-enter",
        &[
            section(
                "ENVIRONMENT",
                &[("SHELL", "What runs without a command, where the target's user has no login shell of its own.")],
            ),
            section("FILES", PROC),
            section(
                "NOTES",
                &[
                    (
                        "",
                        "Joining a namespace needs CAP_SYS_ADMIN in the user namespace that owns it; a mount namespace also CAP_SYS_CHROOT (setns(2)). Root has both; others have them in user namespaces they made, by joining those first, which nstool does.",
                    ),
                    (
                        "",
                        "Everything is opened and the target verified before the first namespace is joined: a target that ends meanwhile, or whose process id is given to another, is an error and never a wrong namespace.",
                    ),
                    (
                        "",
                        "The command's terminal is one of the devpts mounted outside. With the target's mounts joined it has no name in the /dev/pts there: tty(1) says that it is no tty, and programs that open their terminal by name (tmux(1), screen(1), gpg-agent(1)) do not work; /dev/tty does. script(1), run inside, makes a terminal there.",
                    ),
                ],
            ),
            section(
                "SEE ALSO",
                &[("nstool-unshare(1)", ""), ("nsenter(1)", ""), ("setns(2)", ""), ("namespaces(7)", "")],
            ),
        ],
    ),
    (
        "nstool-unshare",
        &[
            section(
                "EXAMPLES",
                &[
                    ("nstool unshare -r id", "A user namespace in which we are root, without any privilege."),
                    (
                        "nstool unshare -r --pid --mount-proc --init sh",
                        "A shell that sees only its own processes, below a PID 1 that reaps.",
                    ),
                    (
                        "nstool unshare --net=/run/blue true",
                        "A network namespace that stays, bound to an existing file.",
                    ),
                    ("nstool unshare -r -m --dry-run sh", "What would be done, in which order."),
                ],
            ),
            section(
                "FILES",
                &[
                    (
                        "/etc/subuid, /etc/subgid",
                        "The subordinate ids of a user, for the maps of a user namespace (subuid(5)).",
                    ),
                    ("/proc/PID/uid_map, /proc/PID/gid_map", "The maps of a user namespace."),
                ],
            ),
            section(
                "NOTES",
                &[
                    (
                        "",
                        "Creating a user namespace needs no privilege where the system allows it; every other kind needs CAP_SYS_ADMIN, which a user namespace created in the same call gives. Maps of more ids than one's own are written by newuidmap(1) and newgidmap(1).",
                    ),
                    (
                        "",
                        "On a terminal the command gets one of its own, so that it cannot type into ours, and the process a shell knows as $! stays outside the new namespaces: --info-fd and -v tell the process inside, and --no-pty passes the terminal through. Directories that are made to mount on stay.",
                    ),
                ],
            ),
            section(
                "SEE ALSO",
                &[
                    ("nstool-enter(1)", ""),
                    ("unshare(1)", ""),
                    ("unshare(2)", ""),
                    ("newuidmap(1)", ""),
                    ("namespaces(7)", ""),
                ],
            ),
        ],
    ),
];
