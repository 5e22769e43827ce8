/* Gates with close: the state word, the docks, the fence, the drain, and who frees the core.
 *
 * Two gates, two slots, two lessees, a closer. Every step of the core that is one atomic operation
 * is one atomic step here, in the same order; memory orders are Relacy's part. Nobody waits for a
 * slot here (that is waiter.pml): an acquire that finds nothing leaves.
 *
 * Checked: I2 (one owner), I3 (the closer is woken: an invalid end state otherwise), I4 (no lease
 * begins after the fence), I5 (each resource ended once, not under a lease; the core freed once and
 * not touched after).
 */
#define GATES 2
#define SLOTS 2
#define LESSEES 2
#ifdef FULL
#define ROUNDS 3
#else
#define ROUNDS 2
#endif
#define BIAS 100

mtype = { idle, out, retiring };

/* gate_word */
bool closed[GATES], orphaned[GATES];
byte leases[GATES];
byte dock[GATES];  /* the berths: a bit for each slot */

mtype state[SLOTS] = idle;  /* SlotStates; a docked slot stays `out` */
bool together;  /* are the slots of one group, so that both may dock at one gate? */
short refs = 1;
bool drain_mutex, notified;

/* What is checked. */
bool fenced, freed, let_go;
byte owner[SLOTS], ended[SLOTS];

#define touch assert(!freed)

/* gate_word */
#define berth(s) (1 << (s))
#define first_docked(g) ((dock[g] & 1) -> 0 : 1)
#define undock(g) dock[g] = dock[g] & (dock[g] - 1)
#define has_room(g, s) (together || dock[g] == 0)

/* SlotPool::shut_down, retire */
inline retire(s) {
  atomic { touch; assert(state[s] == out && owner[s] == 0); state[s] = retiring;
           ended[s]++; assert(ended[s] == 1) }
}

/* SlotPool::unref */
inline unref(count) {
  atomic { touch; refs = refs - (count);
           if :: refs == 0 -> freed = true :: else fi }
}

/* SlotPool::drained: one gate after the other; what is left over is only ever less. */
inline look_drained(result) {
  result = true; g2 = 0;
  do
  :: g2 < GATES -> atomic { touch; if :: !closed[g2] || leases[g2] != 0 -> result = false
                                      :: else fi; g2++ }
  :: else -> break
  od
}

/* SlotPool::leave */
inline leave(g) {
  if
#ifdef MUTANT_PLAIN_DECREMENT
  :: atomic { touch; leases[g]-- }
#else
  :: atomic { !closed[g] -> touch; leases[g]-- }  /* Gate::try_leave */
  :: atomic { closed[g] -> touch }
#ifndef MUTANT_NO_PIN
#ifndef MUTANT_PIN_AFTER_THE_DECREMENT
     atomic { touch; refs++ }  /* ref */
#endif
#endif
     atomic { touch; leases[g]--; late = orphaned[g] }  /* Gate::leave_closed */
#ifdef MUTANT_PIN_AFTER_THE_DECREMENT
     atomic { touch; refs++ }
#endif
     atomic { !drain_mutex -> touch; drain_mutex = true }
     look_drained(zero);
#ifndef MUTANT_UNDO_WITHOUT_NOTIFY
     atomic { touch; if :: zero -> notified = true :: else fi }
#endif
     atomic { touch; drain_mutex = false }
#ifdef MUTANT_NO_PIN
     if :: late -> unref(1) :: else fi
#else
     if :: late -> unref(2) :: else -> unref(1) fi
#endif
#endif
  fi;
  g2 = 0; zero = false; late = false
}

/* Gate::take_dock at each gate (take_any_dock), then SlotStates::claim of each slot (scan). */
inline take_any_dock_or_scan() {
  g2 = 0; slot = SLOTS;
#ifdef MUTANT_SWEEP_WITHOUT_DOCKS
  if :: sweeping -> g2 = GATES :: else fi;
#endif
  do
  :: g2 < GATES && slot == SLOTS ->
     atomic { touch; if :: dock[g2] != 0 -> slot = first_docked(g2); undock(g2)
                        :: else fi; g2++ }
  :: else -> break
  od;
  s2 = 0;
  do
  :: s2 < SLOTS && slot == SLOTS ->
     atomic { touch; if :: state[s2] == idle -> state[s2] = out; slot = s2
                        :: else fi; s2++ }
  :: else -> break
  od;
  g2 = 0; s2 = 0
}

proctype Lessee(byte g) {
  byte slot = SLOTS, round, g2, s2;
  bool zero, late, sweeping;
  do
  :: round == ROUNDS -> break
  :: else ->
     round++;
     /* Gate::enter; not on a pool that its owner has let go, which is for the user to see to. */
     if
     :: let_go -> break
     :: atomic { !let_go && closed[g] -> touch }; break
     :: atomic { !let_go && !closed[g] && dock[g] != 0 ->
                 touch; slot = first_docked(g); undock(g); leases[g]++;
                 assert(!fenced && owner[slot] == 0); owner[slot]++ }  /* a lease begins */
     :: atomic { !let_go && !closed[g] && dock[g] == 0 -> touch; leases[g]++ }
        /* SlotPool::find_idle */
        take_any_dock_or_scan();
        if
        :: slot == SLOTS -> leave(g); goto next
        :: else ->
           /* SlotPool::settle */
#ifdef MUTANT_NO_LOOK_AT_THE_OWN_GATE
           atomic { assert(!fenced && owner[slot] == 0); owner[slot]++ }
#else
           if
           :: atomic { closed[g] -> touch }; retire(slot); leave(g); break
           :: atomic { !closed[g] -> touch; assert(!fenced && owner[slot] == 0); owner[slot]++ }
           fi
#endif
        fi
     fi;
     /* SlotPool::release, release_slowly */
     atomic { assert(owner[slot] == 1); owner[slot]-- };
again:
     if
     :: atomic { !closed[g] && has_room(g, slot) ->
                 touch; assert((dock[g] & berth(slot)) == 0);
                 dock[g] = dock[g] | berth(slot); leases[g]-- }
     :: atomic { closed[g] -> touch }; retire(slot); leave(g)
     :: atomic { !closed[g] && !has_room(g, slot) -> touch };
        atomic { touch; assert(state[slot] == out); state[slot] = idle };
        if
        :: atomic { !closed[g] -> touch; leases[g]-- }
#ifdef MUTANT_NO_CLAIM_BACK
        :: atomic { closed[g] -> touch }; leave(g)
#else
        :: atomic { closed[g] && state[slot] == idle -> touch; state[slot] = out }; goto again
        :: atomic { closed[g] && state[slot] != idle -> touch }; leave(g)
#endif
        fi
     fi;
next:
     slot = SLOTS
  od
}

proctype Closer() {
  byte slot, g2, s2, g;
  short sum;
  bool zero, timed, sweeping = true, drained;
  if :: timed = true :: timed = false fi;
  /* SlotPool::close */
  do
  :: g < GATES -> atomic { touch; closed[g] = true; g++; if :: g == GATES -> fenced = true
                                                          :: else fi }
  :: else -> break
  od;
  take_any_dock_or_scan();  /* sweep */
  do
  :: slot != SLOTS -> retire(slot); take_any_dock_or_scan()
  :: else -> break
  od;
  /* SlotPool::await_drained */
  atomic { !drain_mutex -> touch; drain_mutex = true };
  do
  :: look_drained(drained);
     if
     :: drained -> break
     :: else ->
        atomic { touch; drain_mutex = false; notified = false };  /* Condition::wait_until */
        if
        :: notified
        :: timed -> break
        fi;
        atomic { !drain_mutex -> touch; drain_mutex = true }
     fi
  od;
  if
  :: drained ->
     atomic { touch; drain_mutex = false };
     take_any_dock_or_scan();
     do
     :: slot != SLOTS -> retire(slot); take_any_dock_or_scan()
     :: else -> break
     od;
     assert(ended[0] == 1 && ended[1] == 1)
  :: else ->
     /* SlotPool::orphan_leases */
#ifndef MUTANT_NO_BIAS
     atomic { touch; refs = refs + BIAS };
#endif
     g = 0;
     do
     :: g < GATES -> atomic { touch; sum = sum + leases[g]; orphaned[g] = true; g++ }
     :: else -> break
     od;
#ifdef MUTANT_NO_BIAS
     atomic { touch; refs = refs + sum }
#else
     atomic { touch; refs = refs - BIAS + sum }
#endif
  fi;
  let_go = true;
  unref(1);
  /* When only this and init are left. */
  (_nr_pr == 2) -> assert(freed && ended[0] == 1 && ended[1] == 1 && leases[0] + leases[1] == 0)
}

init {
  atomic {
    if :: together = true :: together = false fi;
    run Closer();
    run Lessee(0);
    if :: run Lessee(0) :: run Lessee(1) fi  /* the same gate, or another */
  }
}
