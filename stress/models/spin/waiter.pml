/* Waiters: a grant against a timeout, a cancel and close; the flag `waiting`, the barge window.
 *
 * One slot, two gates, two waiters; a lessee that gives the slot back, or it is idle; maintenance
 * that looks at it; a closer or none. The first waiter may time out and may be canceled; nothing
 * limits the other one. Every step of the core that is one atomic operation, or is done under the
 * wait mutex and touches nothing else, is one atomic step here. Leases are not counted (that is
 * gate.pml), and the queue is left out: it may say "empty" at any time, and then this is what is
 * left. Of two slots, where a release finds the dock taken, Relacy has a scenario (dock-taken).
 *
 * Checked: I2 (one owner), I3 (nobody sleeps for ever: an invalid end state otherwise), I4, I8 and
 * I9 (each acquire ends once, with the right word).
 */
#define GATES 2
#define WAITERS 2
#define NOBODY 255

mtype = { idle, out, checking, retiring };
mtype = { undecided, granted, timed_out, canceled, told_closed };

/* gate_word; the one slot is docked here */
bool closed[GATES], waiting[GATES], dock[GATES];
mtype state = out;

/* Under the wait mutex. */
bool mutex, armed, closed_;
byte list[WAITERS], size;  /* oldest first */
bool linked[WAITERS], strict[WAITERS];

mtype word[WAITERS] = undecided;  /* Parker */

/* What is checked. */
bool fenced;
byte owner, served[WAITERS];

#define lock_mutex atomic { !mutex -> mutex = true }
#define unlock_mutex mutex = false
#define anybody_strict ((linked[0] && strict[0]) || (linked[1] && strict[1]))

/* WaitList::unlink; within an atomic step */
inline unlink(w) {
  if
  :: linked[w] ->
     linked[w] = false; size--;
     if :: list[0] == w -> list[0] = list[1] :: else fi;
     list[1] = NOBODY
  :: else
  fi
}

/* WaitList::decide_oldest: out of the list, oldest first, until one accepts. */
inline decide_oldest(what, result) {
  result = NOBODY;
  do
  :: size > 0 && result == NOBODY ->
     atomic {
       w2 = list[0]; unlink(w2);
       if :: word[w2] == undecided -> word[w2] = what; result = w2 :: else fi
     }
#ifdef MUTANT_ONLY_THE_OLDEST_IS_ASKED
     break
#endif
  :: else -> break
  od;
  w2 = 0
}

/* SlotPool::take_any_dock, scan: every gate, then the state; each a step. */
inline take_any_dock_or_scan(docks) {
  got = false; g2 = 0;
  do
  :: g2 < GATES && !got && docks -> atomic { if :: dock[g2] -> dock[g2] = false; got = true
                                                :: else fi; g2++ }
  :: else -> break
  od;
  atomic { if :: !got && state == idle -> state = out; got = true :: else fi }
  g2 = 0
}

/* SlotPool::disarm */
inline disarm() {
  if
  :: armed ->
     waiting[0] = false;
     waiting[1] = false;
     armed = false
  :: else
  fi
}

/* SlotPool::release with release_slowly, by who owns the slot and is counted at gate g. */
inline release(g) {
  atomic { assert(owner == 1); owner-- };
  do
  :: atomic { !closed[g] && !waiting[g] && !dock[g] -> dock[g] = true }; break
  :: atomic { closed[g] -> state = retiring }; break
  :: atomic { !closed[g] && waiting[g] -> skip };
     lock_mutex;
     if
     :: anybody_strict -> decide_oldest(granted, node)
     :: else -> node = NOBODY
     fi;
     if
     :: node != NOBODY -> unlock_mutex; break
     :: else ->
#ifdef MUTANT_DISARMED_OUTSIDE_THE_MUTEX
        unlock_mutex; disarm()
#else
        disarm(); unlock_mutex
#endif
     fi
  od;
  node = 0
}

/* A lease begins. */
inline own() { assert(owner == 0 && state == out && !fenced); owner++ }

proctype Acquirer(byte me) {
  byte g2, w2, node, g;
  bool got, window;
  mtype result;
  g = me;
  /* Gate::enter */
  if
  :: atomic { closed[g] -> skip }; result = told_closed; goto end
  :: atomic { !closed[g] && dock[g] -> dock[g] = false; own() }; goto leased
  :: atomic { !closed[g] && !dock[g] -> skip }
  fi;
  /* SlotPool::find: look */
  take_any_dock_or_scan(true);
  if :: got -> goto settle :: else fi;
  /* SlotPool::wait */
  lock_mutex;
  if :: closed_ -> unlock_mutex; result = told_closed; goto end :: else fi;
  atomic { list[size] = me; size++; linked[me] = true };
  /* SlotPool::sleep */
  if :: window = true :: window = false fi;
  if
  :: window ->
     unlock_mutex;
     if
     :: word[me] != undecided -> result = word[me]; goto decided
     :: skip  /* the window is over */
     fi;
     lock_mutex
  :: else
  fi;
#ifndef MUTANT_STRICT_AFTER_UNLOCKING
  strict[me] = true;
#endif
  if :: !linked[me] -> unlock_mutex; result = word[me]; goto decided_without_list :: else fi;
#ifdef MUTANT_ARMED_IF_THE_LIST_WAS_EMPTY
  if
  :: size == 1 ->
#else
  if
  :: !armed ->
#endif
     /* SlotPool::arm */
     waiting[0] = true;
     waiting[1] = true;
     armed = true
  :: else
  fi;
#ifndef MUTANT_NO_RESCAN
#ifdef MUTANT_RESCAN_WITHOUT_DOCKS
  take_any_dock_or_scan(false);
#else
  take_any_dock_or_scan(true);
#endif
  if
  :: got -> atomic { unlink(me) }; unlock_mutex; goto settle
  :: else
  fi;
#endif
  unlock_mutex;
#ifdef MUTANT_STRICT_AFTER_UNLOCKING
  strict[me] = true;
#endif
  /* Parker::park */
  if
  :: word[me] != undecided -> result = word[me]
  :: me == 0 -> result = timed_out
  fi;
decided:
  /* SlotPool::decide_and_unlink */
  if
  :: result == timed_out ->
     atomic { if :: word[me] == undecided -> word[me] = timed_out
#ifndef MUTANT_A_TIMED_OUT_WAITER_LOSES_ITS_GRANT
                 :: else -> result = word[me]
#else
                 :: else
#endif
              fi }
  :: else
  fi;
  if
  :: result == timed_out || result == canceled -> lock_mutex; atomic { unlink(me) }; unlock_mutex
  :: else
  fi;
decided_without_list:
#ifdef MUTANT_A_CANCELED_WAITER_LOSES_ITS_GRANT
  if :: me == 0 && result == granted -> result = canceled :: else fi;
#endif
  if :: result == granted -> goto settle :: else -> goto end fi;
settle:
  /* SlotPool::settle */
#ifdef MUTANT_NO_LOOK_AT_THE_OWN_GATE
  atomic { own() };
#else
  if
  :: atomic { closed[g] -> assert(owner == 0); state = retiring }; result = told_closed; goto end
  :: atomic { !closed[g] -> own() }
  fi;
#endif
leased:
  result = granted;
  release(g);
end:
  atomic {
    assert(!linked[me]);
    assert(result != told_closed || closed[0]);
    assert(me == 0 || (result != timed_out && result != canceled));
    served[me]++; assert(served[me] == 1)
  }
}

/* The one who has the slot at the beginning. */
proctype Lessee() {
  byte w2, node;
  release(0)
}

/* A stop_token: on_stop in SlotPool::wait, at any moment or never. */
proctype Stop() {
  if
  :: atomic { word[0] == undecided && linked[0] -> word[0] = canceled }
  :: skip
  fi
}

/* SlotPool::try_check, try_check_docked, put_back with make_available. */
proctype Maintenance() {
  byte w2, node;
  bool got;
  if
  :: skip
#ifdef MUTANT_MAINTENANCE_TAKES_WITHOUT_CLAIMING
  :: state == idle -> state = checking; got = true
#else
  :: atomic { state == idle -> state = checking; got = true }
#endif
  :: atomic { dock[0] -> dock[0] = false; assert(state == out); state = checking; got = true }
  :: atomic { dock[1] -> dock[1] = false; assert(state == out); state = checking; got = true }
  fi;
  if
  :: got ->
     assert(owner == 0 && state == checking);
#ifdef MUTANT_MAINTENANCE_PUTS_BACK_WITHOUT_MAKE_AVAILABLE
     state = idle
#else
     lock_mutex;
     if
     :: closed_ -> unlock_mutex; state = retiring
     :: else ->
        if
        :: size > 0 -> state = out; decide_oldest(granted, node)
        :: else -> node = NOBODY
        fi;
        if :: node == NOBODY -> state = idle :: else fi;
        unlock_mutex
     fi
#endif
  :: else
  fi
}

/* SlotPool::close, or nothing. */
proctype Closer() {
  byte g2, w2, node;
  bool got;
  if :: goto end :: skip fi;
  closed[0] = true;
  atomic { closed[1] = true; fenced = true };
  lock_mutex;
  closed_ = true;
#ifndef MUTANT_CLOSE_WAKES_NOBODY
  do
  :: decide_oldest(told_closed, node); if :: node == NOBODY -> break :: else fi
  od;
#endif
  unlock_mutex;
  take_any_dock_or_scan(true);  /* sweep */
  if :: got -> atomic { assert(owner == 0); state = retiring } :: else fi;
end:
  skip
}

init {
  atomic {
    if
    :: owner = 1; run Lessee()
    :: state = idle
    fi;
    run Acquirer(0); run Acquirer(1); run Stop(); run Maintenance(); run Closer()
  }
}
