/* Close in phases, with the canceller: a cancel strikes the statement it was made for, or none.
 *
 * One connection, two leases (three in full) one after the other, each with one statement; the
 * server behind it; a canceller thread; somebody who cancels; a closer that drains, then cancels,
 * then forces, then gives up. Any wait with a deadline may be over at any moment, and the server
 * may be deaf. A request that was sent may be known to have arrived, known not to, or be doubtful:
 * then it strikes whenever it likes, or never.
 *
 * Checked: I10 (no stray cancel in another lease), I3 and I8 (no statement outlives force, the
 * closer comes to an end: an invalid end state otherwise), I4.
 */
#ifdef FULL
#define LEASES 3
#else
#define LEASES 2
#endif

/* CancelTarget: one word */
bool running, queued, sending, sent, doubtful;
#define pending (queued || sending)

/* The server. */
byte at_server;   /* the statement it has, by number; PING; 0 = idle */
#define PING 9
bool canceled, answered;
bool signal;      /* the backend has been sent one ... */
byte signal_for;  /* ... because of a request made for this statement */
bool deaf;        /* it never ends a statement, and heeds no signal */
byte late_for;    /* a doubtful request, made for this statement, has yet to arrive; 0 = none */

bool broken;      /* the socket is shut down */
bool closed;      /* the fence */
bool lease_out, closer_done;
bool retired;
byte current;     /* the statement under way, 0 = none */
byte made_for;    /* the statement for which the request on its way was made */

/* Canceller::request, under its mutex, by CAS on the word. */
inline request() {
#ifdef MUTANT_ASKED_WITHOUT_A_STATEMENT
  atomic { if :: !pending -> queued = true; made_for = current :: else fi }
#else
  atomic { if :: running && !pending -> queued = true; made_for = current :: else fi }
#endif
}

/* Canceller::Loop */
proctype Canceller() {
end:
  do
  :: queued ->
#ifdef MUTANT_NEITHER_QUEUED_NOR_SENDING
     queued = false;
     sending = true;
#else
     atomic { queued = false; sending = true }
#endif
     if  /* CancelCall */
     :: sent = true;
        atomic { signal = true; signal_for = made_for }  /* delivered: the signal, then EOF */
     :: skip                                             /* not sent: it leaves nothing */
     :: sent = true; late_for = made_for; doubtful = true
     fi;
     sending = false
  od
}

/* A doubtful request may arrive at any time. */
proctype Late() {
end:
  atomic { late_for != 0 -> signal = true; signal_for = late_for; late_for = 0 }
}

proctype Server() {
end:
  do
  :: atomic { at_server == PING && !answered -> signal = false; answered = true }
  :: atomic { at_server == 0 && signal && !deaf -> signal = false }  /* forgotten: it is idle */
  :: atomic { at_server != 0 && at_server != PING && !answered && !deaf && signal ->
              assert(signal_for == at_server);  /* I10 */
              signal = false; canceled = true; answered = true }
  :: atomic { at_server != 0 && at_server != PING && !answered && !deaf && !signal ->
              answered = true }
  :: atomic { at_server != 0 && at_server != PING && !answered && !deaf -> deaf = true }
  od
}

/* Session: a round trip, until the answer is there or the socket is shut down. */
inline round_trip(what) {
  atomic { answered = false; canceled = false; at_server = what }
  if
  :: answered
  :: broken
  fi;
  at_server = 0
}

/* One lease after the other, until close. */
proctype Lessee() {
  byte n;
  bool asked, keep;
  do
  :: n == LEASES || retired -> break
  :: else ->
     if
     :: atomic { closed -> skip }; break
     :: atomic { !closed -> assert(!lease_out); lease_out = true }
     fi;
     n++;
     /* The statement: CancelTarget::begin_statement, end_statement */
     atomic { running = true; current = n };
     if :: request() :: skip fi;  /* Session::ask_to_cancel, at a limit of its own */
     round_trip(n);
#ifdef MUTANT_ENDED_IN_TWO_STEPS
     asked = queued || sending || sent || doubtful;
     atomic { running = false; current = 0 };
#else
     atomic { running = false; current = 0; asked = queued || sending || sent || doubtful };
#endif
     /* The lessee keeps its lease, and gives it back when it likes. */
     if :: keep = true :: keep = false fi;
     if :: keep -> (closer_done) :: else fi;
     /* Session::settle_cancels, and who takes what cannot be settled out of use */
     if
     :: broken -> retired = true
     :: !broken && asked ->
#ifndef MUTANT_REUSED_WHILE_PENDING
        if
        :: !pending
        :: retired = true  /* Canceller::wait: the time is up */
        fi;
#endif
        if
        :: !retired && doubtful ->
#ifndef MUTANT_DOUBTFUL_IS_REUSED
           retired = true
#endif
        :: else
        fi;
#ifndef MUTANT_REUSED_WITHOUT_PING
        if :: !retired -> round_trip(PING) :: else fi;
#endif
        atomic { if :: !pending && !doubtful -> sent = false :: else fi }  /* settle */
     :: else
     fi;
     atomic { lease_out = false; if :: closed || broken -> retired = true :: else fi }
  od
}

/* Connection::cancel() from another thread, at any moment, twice. */
proctype Other() {
  request();
  request()
}

/* The phases of close. */
proctype Closer() {
  closed = true;
  /* drain */
  if :: !lease_out -> goto drained :: skip fi;
  /* cancel */
  request();
  if :: !lease_out -> goto drained :: skip fi;
  /* force: shutdown(2) on a duplicate of the socket, so it does not matter who has it */
#ifndef MUTANT_NO_FORCE
  broken = true;
#endif
  if :: !lease_out :: skip fi;
drained:
  closer_done = true
}

init {
  atomic { run Canceller(); run Late(); run Server(); run Lessee(); run Other(); run Closer() }
}
