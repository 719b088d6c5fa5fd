//! All mounts of all namespaces as one structure.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use super::groups::GroupId;
use super::lock::Lock;
use super::path::{join, strip};
use crate::id::NamespaceId;
use crate::model::{Device, Mount, MountTable};

/// A mount of a [`Forest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountRef(u32);

impl MountRef {
    pub(super) fn new(index: usize) -> Self {
        // 100,000 mounts a namespace are the kernel's limit (fs.mount-max).
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Returns its place among all nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A directory or file, as a mount and the path within its filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mount.
    pub mount: MountRef,
    /// The path from the filesystem's root, as in a mount's `root` field.
    pub inside: Vec<u8>,
}

/// A mount as it hangs in the forest: what decides how events propagate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The place of its table among the forest's.
    pub namespace: usize,
    /// What it is attached to; `None` at the top.
    pub parent: Option<MountRef>,
    /// Where in the parent's filesystem; empty at the top.
    pub at: Cow<'a, [u8]>,
    /// Its filesystem; `None` for one that a prediction adds.
    pub device: Option<Device>,
    /// Its root within that filesystem.
    pub root: Cow<'a, [u8]>,
    /// Its peer group.
    pub shared: Option<GroupId>,
    /// The group it receives from.
    pub master: Option<GroupId>,
    /// Whether it refuses to be bind mounted.
    pub unbindable: bool,
    /// Whether it is bound to its parent.
    pub lock: Lock,
}

type Children<'a> = HashMap<(MountRef, Cow<'a, [u8]>), MountRef>;

/// All mounts of some mount namespaces.
#[derive(Debug)]
pub struct Forest<'a> {
    pub(super) tables: &'a [MountTable],
    pub(super) nodes: Vec<Node<'a>>,
    /// The first node of each table.
    pub(super) first: Vec<usize>,
    /// What is mounted where; made when first asked for.
    children: OnceCell<Children<'a>>,
}

impl Clone for Forest<'_> {
    fn clone(&self) -> Self {
        // Who clones a forest wants to rearrange it, and then what is mounted where must be found anew.
        Self { tables: self.tables, nodes: self.nodes.clone(), first: self.first.clone(), children: OnceCell::new() }
    }
}

impl<'a> Forest<'a> {
    /// Joins the tables.
    pub fn new(tables: &'a [MountTable]) -> Self {
        let total = tables.iter().map(|table| table.mounts.len()).sum();
        let mut nodes = Vec::with_capacity(total);
        let mut first = Vec::with_capacity(tables.len());
        for (namespace, table) in tables.iter().enumerate() {
            let base = nodes.len();
            first.push(base);
            let places: HashMap<u32, usize> =
                table.mounts.iter().enumerate().map(|(place, mount)| (mount.id, place)).collect();
            nodes.extend(table.mounts.iter().enumerate().map(|(place, mount)| {
                let parent = places.get(&mount.parent).copied().filter(|parent| *parent != place);
                let at = parent.and_then(|parent| attached_at(&table.mounts[parent], mount));
                Node {
                    namespace,
                    parent: parent.filter(|_| at.is_some()).map(|parent| MountRef::new(base + parent)),
                    at: at.unwrap_or_default(),
                    device: Some(mount.device),
                    root: Cow::Borrowed(&mount.root),
                    shared: mount.shared.map(GroupId::Known),
                    master: mount.master.map(GroupId::Known),
                    unbindable: mount.unbindable,
                    lock: Lock::No,
                }
            }));
        }
        cut_circles(&mut nodes);
        let mut forest = Self { tables, nodes, first, children: OnceCell::new() };
        forest.infer_locks();
        forest
    }

    /// Returns the tables it was made of.
    pub fn tables(&self) -> &'a [MountTable] {
        self.tables
    }

    /// Returns a mount.
    pub fn node(&self, mount: MountRef) -> &Node<'a> {
        &self.nodes[mount.index()]
    }

    /// Returns how many mounts it has.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Tells whether it has no mount at all.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns every mount, those a prediction added last.
    pub fn mounts(&self) -> impl Iterator<Item = MountRef> + use<> {
        (0..self.nodes.len()).map(MountRef::new)
    }

    /// Returns the mounts of one table, in its order.
    pub fn mounts_of(&self, namespace: usize) -> impl Iterator<Item = MountRef> + use<> {
        let first = self.first[namespace];
        (first..first + self.tables[namespace].mounts.len()).map(MountRef::new)
    }

    /// Returns what the table says of a mount; `None` for one that a prediction added.
    pub fn mount(&self, mount: MountRef) -> Option<&'a Mount> {
        let namespace = self.nodes[mount.index()].namespace;
        self.tables[namespace].mounts.get(mount.index() - self.first[namespace]).filter(|_| mount.index() < self.read())
    }

    /// How many mounts were read from tables.
    fn read(&self) -> usize {
        self.first.last().map_or(0, |first| first + self.tables[self.tables.len() - 1].mounts.len())
    }

    /// Returns the table of a namespace.
    pub fn find_namespace(&self, id: NamespaceId) -> Option<usize> {
        self.tables.iter().position(|table| table.namespace == id)
    }

    /// Returns the mount of a namespace with this id.
    pub fn find_mount(&self, namespace: usize, id: u32) -> Option<MountRef> {
        let place = self.tables[namespace].mounts.iter().position(|mount| mount.id == id)?;
        Some(MountRef::new(self.first[namespace] + place))
    }

    /// Returns the lowest mount of a namespace.
    pub fn root_of(&self, namespace: usize) -> Option<MountRef> {
        let tops = || self.mounts_of(namespace).filter(|mount| self.node(*mount).parent.is_none());
        let at_root = |mount: &MountRef| self.mount(*mount).is_some_and(|mount| mount.mount_point == b"/");
        tops().find(at_root).or_else(|| tops().next())
    }

    fn children(&self) -> &Children<'a> {
        self.children.get_or_init(|| {
            let attached = self.nodes.iter().enumerate();
            attached.filter_map(|(index, node)| Some(((node.parent?, node.at.clone()), MountRef::new(index)))).collect()
        })
    }

    /// Returns what is mounted at a place; a mount has at most one child at each.
    pub fn child_at(&self, parent: MountRef, inside: &[u8]) -> Option<MountRef> {
        self.children().get(&(parent, Cow::Borrowed(inside))).copied()
    }

    /// Returns the children of every mount.
    pub(super) fn children_of_all(&self) -> Vec<Vec<MountRef>> {
        let mut children = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(parent) = node.parent {
                children[parent.index()].push(MountRef::new(index));
            }
        }
        children
    }

    /// Climbs from the root of a mount to the top of what is stacked on it.
    pub(super) fn top_of_stack(&self, mount: MountRef) -> MountRef {
        let mut top = mount;
        while let Some(next) = self.child_at(top, &self.node(top).root) {
            top = next;
        }
        top
    }

    /// Returns where a path leads in a namespace, as its root process would find it. The path is absolute, without
    /// symbolic links and dots.
    pub fn resolve(&self, namespace: usize, path: &[u8]) -> Option<Place> {
        self.walk(namespace, path, |_| {})
    }

    /// The same, telling `entered` each mount that is stepped into.
    pub(super) fn walk(&self, namespace: usize, path: &[u8], mut entered: impl FnMut(MountRef)) -> Option<Place> {
        let mut here = Place { mount: self.root_of(namespace)?, inside: Vec::new() };
        here.inside = self.node(here.mount).root.to_vec();
        entered(here.mount);
        self.climb(&mut here, &mut entered);
        for component in path.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
            if here.inside != b"/" {
                here.inside.push(b'/');
            }
            here.inside.extend_from_slice(component);
            self.climb(&mut here, &mut entered);
        }
        Some(here)
    }

    /// Steps onto what is mounted at a place, and on that, telling `entered` each mount.
    pub(super) fn climb(&self, here: &mut Place, entered: &mut impl FnMut(MountRef)) {
        while let Some(child) = self.child_at(here.mount, &here.inside) {
            *here = Place { mount: child, inside: self.node(child).root.to_vec() };
            entered(child);
        }
    }

    /// Returns the path of a place below the namespace's root.
    pub fn path_of(&self, place: &Place) -> Vec<u8> {
        let mut path = Vec::new();
        let (mut mount, mut inside) = (place.mount, place.inside.as_slice());
        // Each step goes towards the top; the bound is for tables that contradict themselves.
        for _ in 0..=self.nodes.len() {
            let node = self.node(mount);
            let rest = strip(inside, &node.root).unwrap_or_default();
            path.splice(0..0, rest.iter().copied());
            let Some(parent) = node.parent else {
                let top = self.mount(mount).map_or(&b"/"[..], |mount| &mount.mount_point);
                return join(top, &path);
            };
            (mount, inside) = (parent, &node.at);
        }
        path
    }

    /// Returns the place that a path below a mount leads to, in that mount itself.
    pub fn place_below(&self, mount: MountRef, path: &[u8]) -> Option<Place> {
        let rest = strip(path, &self.mount_point(mount))?.to_vec();
        Some(Place { mount, inside: join(&self.node(mount).root, &rest) })
    }

    /// Returns where a mount stands.
    pub fn mount_point(&self, mount: MountRef) -> Vec<u8> {
        self.path_of(&Place { mount, inside: self.node(mount).root.to_vec() })
    }

    /// Returns what covers a mount, so that its path leads elsewhere; `None` if the path leads to it.
    pub fn covered_by(&self, mount: MountRef) -> Option<MountRef> {
        let path = self.mount_point(mount);
        let mut above = vec![mount];
        while let Some(parent) = self.node(above[above.len() - 1]).parent
            && above.len() <= self.nodes.len()
        {
            above.push(parent);
        }
        let mut cover = None;
        let landed = self.walk(self.node(mount).namespace, &path, |entered| {
            if cover.is_none() && !above.contains(&entered) {
                cover = Some(entered);
            }
        })?;
        if landed.mount == mount { None } else { cover.or(Some(landed.mount)) }
    }

    /// Lets `change` rearrange the mounts.
    pub(super) fn rearrange(&mut self, change: impl FnOnce(&mut Vec<Node<'a>>)) {
        self.children = OnceCell::new();
        change(&mut self.nodes);
    }
}

/// Parts mounts that stand on each other in a circle: ids that were given anew while a table was read can say so.
fn cut_circles(nodes: &mut [Node<'_>]) {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        OnThisWay,
        LeadsUp,
    }
    let mut states = vec![State::New; nodes.len()];
    for start in 0..nodes.len() {
        let mut way = Vec::new();
        let mut here = start;
        while states[here] == State::New {
            states[here] = State::OnThisWay;
            way.push(here);
            match nodes[here].parent {
                Some(parent) if states[parent.index()] == State::OnThisWay => nodes[here].parent = None,
                Some(parent) => here = parent.index(),
                None => {}
            }
        }
        way.into_iter().for_each(|node| states[node] = State::LeadsUp);
    }
}

/// Returns where in the filesystem of `parent` a mount is attached. `None`: its path does not lie below the parent's.
fn attached_at<'a>(parent: &'a Mount, mount: &'a Mount) -> Option<Cow<'a, [u8]>> {
    let rest = strip(&mount.mount_point, &parent.mount_point)?;
    Some(match (parent.root.as_slice(), rest) {
        (root, b"") => Cow::Borrowed(root),
        (b"/", rest) => Cow::Borrowed(rest),
        (root, rest) => Cow::Owned(join(root, rest)),
    })
}
