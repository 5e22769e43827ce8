/* Capacity: empty -> opening -> idle or failed, and back through retiring.
 *
 * Two slots, two acquirers, an opener, maintenance that ends what is retired, a closer or none; one
 * opening at a time. Openings may fail as unavailable (once; twice in full) and be rejected (once).
 * All of it happens under the wait mutex, so what is done in one hold of it is one step here;
 * telling the owner (on_open_wanted) comes after it, as in the core. A release is short here: a
 * grant, or idle (the gates are waiter.pml).
 *
 * Checked: I1 (the lists and the states agree), I3 (nobody waits for ever while a slot could be
 * opened: an invalid end state otherwise), I4 (nothing is published after close), I5, I8, I9.
 */
#define SLOTS 2
#define ACQUIRERS 2
#define NOBODY 255
#ifdef FULL
#define FAILURES 2
#else
#define FAILURES 1
#endif

mtype = { vacant, opening, idle, out, retiring };  /* SlotState; `empty` is a word of Promela */
mtype = { undecided, granted, told_closed, rejected };
mtype = { none, unavailable, refused };

/* Under the wait mutex. */
mtype state[SLOTS] = vacant;
byte empties = SLOTS, openings, retirings;  /* SlotBooks::empty(), opening(), retiring() */
bool to_open[SLOTS], to_retire[SLOTS];      /* lists */
byte list[ACQUIRERS], size;                 /* WaitList, oldest first */
bool closed;
mtype last_failure = none;
bool later;                                 /* now < next_attempt_ */

byte wanted;  /* SlotOwner::on_open_wanted: rings at the opener */
mtype word[ACQUIRERS] = undecided;

/* What is checked. */
bool together;
byte owner[SLOTS], alive[SLOTS], failures, refusals, left = ACQUIRERS;

#define open_count (SLOTS - empties - openings - retirings)
#define consistent \
  assert(empties == (state[0] == vacant) + (state[1] == vacant) && \
         openings == (state[0] == opening) + (state[1] == opening) && \
         retirings == (state[0] == retiring) + (state[1] == retiring) && openings <= 1)

/* SlotPool::plan_openings: policy::to_open with max_opening 1 and no floor. */
inline plan(n) {
  n = 0;
  if
  :: size > openings && empties > 0 && openings == 0 ->
     if :: state[0] == vacant -> state[0] = opening; to_open[0] = true
        :: else -> state[1] = opening; to_open[1] = true fi;
     empties--; openings++; n = 1
  :: else
  fi
}

/* WaitList::decide_oldest; nobody here decides for himself. */
inline decide_oldest(what, result) {
  result = NOBODY;
  if
  :: size > 0 ->
     result = list[0]; list[0] = list[1]; list[1] = NOBODY; size--;
     assert(word[result] == undecided); word[result] = what
  :: else
  fi
}

/* SlotPool::make_available, its hold of the mutex when the pool is open; slot s is ours. */
inline make_available(s, n, w) {
  decide_oldest(granted, w);
  if :: w != NOBODY -> state[s] = out; slot_of[w] = s :: else -> state[s] = idle fi;
#ifdef MUTANT_MAKE_AVAILABLE_SKIPS_CAPACITY
  n = 0
#else
  plan(n)
#endif
}
byte slot_of[ACQUIRERS] = NOBODY;

inline retire(s) {
  state[s] = retiring; retirings++; to_retire[s] = true
}

proctype Acquirer(byte me) {
  byte n, w, s = NOBODY;
  mtype result = granted;
  atomic {
    /* SlotPool::find: look, scan */
    if
    :: state[0] == idle -> state[0] = out; s = 0
    :: state[0] != idle && state[1] == idle -> state[1] = out; s = 1
    :: state[0] != idle && state[1] != idle
    fi
  }
  if
  :: s != NOBODY -> goto settle
  :: else
  fi;
  atomic {
    /* SlotPool::wait, may_wait, sleep: pushed, scanned, planned in one hold of the mutex */
    if
    :: closed -> result = told_closed
    :: !closed && open_count == 0 && last_failure == refused && later -> result = rejected
    :: else ->
       list[size] = me; size++;
       if
       :: state[0] == idle -> state[0] = out; s = 0
       :: state[0] != idle && state[1] == idle -> state[1] = out; s = 1
       :: else
       fi;
       if
       :: s != NOBODY -> size--; if :: list[0] == me -> list[0] = list[1] :: else fi;
                         list[1] = NOBODY
       :: else
#ifdef MUTANT_SCAN_IGNORES_EMPTY
          -> n = 0
#else
          -> plan(n)
#endif
       fi
    fi;
    consistent
  }
  if
  :: result != granted -> goto end
  :: result == granted && s != NOBODY -> goto settle
  :: else
  fi;
  wanted = wanted + n;  /* tell_openings, outside the mutex */
  /* Parker::park */
  atomic { word[me] != undecided -> result = word[me]; s = slot_of[me] }
  if :: result != granted -> goto end :: else fi;
settle:
  atomic {
    /* The own gate is closed before closed_ is set, so this sees close a little late. */
    if
    :: closed -> retire(s); result = told_closed
    :: else -> assert(owner[s] == 0 && alive[s] == 1 && state[s] == out); owner[s]++
    fi
  }
  if :: result == told_closed -> goto end :: else fi;
  /* Together: both keep what they have until the other one has something, or is told. */
  left--;
  (!together || left == 0);
  atomic { owner[s]-- }
  if
  :: atomic { retire(s); consistent }  /* SlotPool::discard */
  :: atomic {
       true ->
       if :: closed -> retire(s) :: else -> make_available(s, n, w) fi;
       consistent
     }
     wanted = wanted + n
  fi;
  goto gone;
end:
  assert(result != told_closed || closed);
  assert(result != rejected || refusals > 0);
  left--;
gone:
  skip
}

proctype Connector() {
  byte n, w, s = NOBODY;
end:
  do
  :: wanted > 0 ->
     wanted--;
     atomic {
       /* SlotPool::take_to_open */
       if :: to_open[0] -> to_open[0] = false; s = 0
          :: !to_open[0] && to_open[1] -> to_open[1] = false; s = 1
          :: else -> s = NOBODY fi
     }
     if
     :: s == NOBODY
     :: s != NOBODY ->
        n = 0;
        if
        :: atomic {
             /* SlotPool::opened */
             alive[s]++; assert(alive[s] == 1); openings--; last_failure = none;
             if
#ifdef MUTANT_PUBLISHED_AFTER_CLOSE
             :: false
#else
             :: closed -> retire(s)
#endif
             :: else -> make_available(s, n, w)
             fi;
             consistent
           }
        :: atomic {
             /* SlotPool::open_failed(unavailable) */
             failures < FAILURES -> failures++; openings--; state[s] = vacant; empties++;
             last_failure = unavailable;
#ifndef MUTANT_FAILED_OPENING_WAKES_NOBODY
             if :: !closed -> plan(n) :: else fi;
#endif
             consistent
           }
        :: atomic {
             /* SlotPool::open_failed(rejected) */
             refusals < 1 -> refusals++; openings--; state[s] = vacant; empties++;
             last_failure = refused; later = true;
             if
             :: open_count == 0 ->
#ifndef MUTANT_REJECTION_WAKES_NOBODY
                do
                :: size > 0 -> decide_oldest(rejected, w)
                :: else -> break
                od
#endif
             :: else -> if :: !closed -> plan(n) :: else fi
             fi;
             consistent
           }
        fi;
        wanted = wanted + n
     fi
  od
}

proctype MaintenanceLoop() {
  byte n, s;
end:
  do
  :: atomic {
       /* SlotPool::take_to_retire */
       to_retire[0] || to_retire[1] ->
       if :: to_retire[0] -> to_retire[0] = false; s = 0
          :: else -> to_retire[1] = false; s = 1 fi;
       assert(owner[s] == 0 && alive[s] == 1); alive[s]--
     }
     atomic {
       /* SlotPool::retired */
       retirings--; state[s] = vacant; empties++;
#ifdef MUTANT_FREED_CAPACITY_WAKES_NOBODY
       n = 0;
#else
       if :: !closed -> plan(n) :: else -> n = 0 fi;
#endif
       consistent
     }
     wanted = wanted + n
  od
}

proctype Closer() {
  byte w;
  if :: goto end :: skip fi;
  atomic {
    closed = true;
    do
    :: size > 0 -> decide_oldest(told_closed, w)
    :: else -> break
    od;
    if :: to_open[0] -> to_open[0] = false; openings--; state[0] = vacant; empties++ :: else fi;
    if :: to_open[1] -> to_open[1] = false; openings--; state[1] = vacant; empties++ :: else fi;
    consistent
  }
  /* sweep: slot by slot */
  atomic { if :: state[0] == idle -> retire(0) :: else fi }
  atomic { if :: state[1] == idle -> retire(1) :: else fi }
  /* At rest nothing is left. */
  (left == 0 && openings == 0 && retirings == 0 && owner[0] + owner[1] == 0 &&
   state[0] != out && state[1] != out);
  assert(state[0] == vacant && state[1] == vacant && alive[0] + alive[1] == 0);
end:
  skip
}

init {
  atomic {
    if :: together = true :: together = false fi;
    if
    :: skip                                            /* nothing is open */
    :: state[0] = idle; alive[0] = 1; empties--        /* one is idle */
    :: state[0] = retiring; alive[0] = 1; empties--; retirings++; to_retire[0] = true
    fi;
    run Acquirer(0); run Acquirer(1); run Connector(); run MaintenanceLoop(); run Closer()
  }
}
