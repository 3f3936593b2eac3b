//! Random schedules of writes, partitions, resets, restarts, joins and removals: after healing, all
//! members agree.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::world::World;

/// After this long without trouble everybody holds everything: one round of anti-entropy for each link of
/// the longest chain would be the worst; the protocol's own news is far quicker.
const HEALED_MS: u64 = 35_000;
/// Live news over five links of 400 ms: told, asked for and sent along each, half a second of patience
/// each, and no anti-entropy.
const LIVE_MS: u64 = 5 * (500 + 3 * 400);

#[derive(Debug, Clone)]
enum Step {
    Write {
        node: usize,
        count: usize,
    },
    Connect {
        a: usize,
        b: usize,
        latency_ms: u64,
    },
    Disconnect {
        a: usize,
        b: usize,
    },
    /// All its links break; it comes back with new machines when links are made again.
    Restart {
        node: usize,
    },
    Wait {
        ms: u64,
    },
    Join,
    Remove {
        node: usize,
    },
    /// Gossip tells one node of another's digest.
    Gossip {
        a: usize,
        b: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5usize, 1..20usize).prop_map(|(node, count)| Step::Write { node, count }),
        4 => (0..5usize, 0..5usize, 0..400u64).prop_map(|(a, b, latency_ms)| Step::Connect { a, b, latency_ms }),
        2 => (0..5usize, 0..5usize).prop_map(|(a, b)| Step::Disconnect { a, b }),
        1 => (0..5usize).prop_map(|node| Step::Restart { node }),
        5 => (0..1_500u64).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Join),
        1 => (1..5usize).prop_map(|node| Step::Remove { node }),
        1 => (0..5usize, 0..5usize).prop_map(|(a, b)| Step::Gossip { a, b }),
    ]
}

/// How the links look in the end.
#[derive(Debug, Clone, Copy)]
enum Healed {
    Mesh,
    Chain,
    Star,
}

fn heal(world: &mut World, members: &[usize], healed: Healed) {
    for (nth, a) in members.iter().copied().enumerate() {
        for (mth, b) in members[..nth].iter().copied().enumerate() {
            let wanted = match healed {
                Healed::Mesh => true,
                Healed::Chain => mth + 1 == nth,
                Healed::Star => b == 0,
            };
            if !wanted {
                world.disconnect(a, b);
            } else if !world.is_up(a, b) {
                world.connect(a, b);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x6d75_7374_6572),
        ..ProptestConfig::default()
    })]

    #[test]
    fn members_agree_after_any_schedule(
        nodes in 3..=5usize,
        steps in proptest::collection::vec(step(), 1..40),
        healed in prop_oneof![Just(Healed::Mesh), Just(Healed::Chain), Just(Healed::Star)],
    ) {
        let (mut world, space) = World::of_members(nodes);
        let joins = steps.iter().filter(|step| matches!(step, Step::Join)).count().min(2);
        let mut waiting = joins;
        let mut removed = BTreeSet::new();
        for step in steps {
            let nodes = world.nodes.len();
            match step {
                Step::Write { node, count } => {
                    // A newcomer writes as soon as it knows that it is in.
                    let node = node % nodes;
                    let id = world.id(node);
                    if world.nodes[node].spaces[&space].control.role(id).is_some() {
                        world.write_many(node, space, count);
                    }
                }
                Step::Connect { a, b, latency_ms } if a % nodes != b % nodes => {
                    world.connect_slow(a % nodes, b % nodes, latency_ms);
                }
                Step::Disconnect { a, b } => world.disconnect(a % nodes, b % nodes),
                Step::Restart { node } => world.isolate(node % nodes),
                Step::Wait { ms } => world.run_ms(ms),
                Step::Join if waiting > 0 => {
                    waiting -= 1;
                    world.nodes.push(crate::node::Node::new(100 + nodes as u8));
                    world.add(space, nodes);
                    world.give_genesis(space, nodes);
                }
                Step::Remove { node } if node < nodes => {
                    removed.insert(node);
                    world.remove(space, node);
                }
                Step::Gossip { a, b } => world.gossip(space, a % nodes, b % nodes),
                Step::Connect { .. } | Step::Join | Step::Remove { .. } => {}
            }
        }
        let all: Vec<_> = (0..world.nodes.len()).filter(|node| !removed.contains(node)).collect();
        heal(&mut world, &all, healed);
        world.converge(space, &all, HEALED_MS);
        prop_assert!(world.closed.is_empty(), "{:?}", world.closed);
        // Live news needs no anti-entropy on links that settled.
        world.run_ms(1_000);
        for node in all.clone() {
            world.write(node, space, b"live");
        }
        world.converge(space, &all, LIVE_MS);
    }
}
