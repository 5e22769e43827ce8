// HikariCP over PostgreSQL's JDBC driver, which knows only TCP: the rows of peer_program.hpp, with
// its loop.
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;

public final class HikariPeer {
  private static final int RING_PLACES = 16;
  private static final double WARM_UP = 1.0;  // seconds at least: until the loop is compiled

  private static volatile boolean counts;
  private static volatile boolean stop;
  private static double seconds = 1.0;

  private interface Turn {
    void take() throws Exception;
  }

  private interface Measure {
    double rate() throws Exception;
  }

  public static void main(String[] words) throws Exception {
    Path out = null;
    Pattern filter = Pattern.compile("");
    for (String word : words) {
      if (word.startsWith("--benchmark_out=")) out = Path.of(valueOf(word));
      if (word.startsWith("--benchmark_filter=")) filter = Pattern.compile(valueOf(word));
      if (word.startsWith("--seconds=")) seconds = Double.parseDouble(valueOf(word));
    }
    List<String> rows = new ArrayList<>();
    for (int[] crowd : new int[][] {{1, 4}, {2, 4}, {16, 8}, {16, 4}}) {
      add(rows, filter, "lease/" + crowd[0] + "_on_" + crowd[1], () -> lease(crowd[0], crowd[1]));
    }
    add(rows, filter, "handover", HikariPeer::handover);
    for (int[] crowd : new int[][] {{1, 8}, {8, 8}, {32, 8}}) {
      add(rows, filter, "select_tcp/" + crowd[0] + "_on_" + crowd[1], () -> select(crowd[0], crowd[1]));
    }
    String json = "{\"benchmarks\": [\n" + String.join(",\n", rows) + "\n]}\n";
    if (out != null) Files.writeString(out, json);
    else System.out.print(json);
  }

  private static String valueOf(String word) {
    return word.substring(word.indexOf('=') + 1);
  }

  private static void add(List<String> rows, Pattern filter, String what, Measure measure) {
    String name = what + "/hikaricp";
    if (!filter.matcher(name).find()) return;
    String start = "{\"name\": \"" + name + "\", \"run_type\": \"iteration\", ";
    try {
      rows.add(start + "\"items_per_second\": " + measure.rate() + "}");
    } catch (Exception error) {
      String words = String.valueOf(error).replaceAll("[\"\\\\\\p{Cntrl}]", " ");
      rows.add(start + "\"error_occurred\": true, \"error_message\": \"" + words + "\"}");
    }
  }

  private static HikariDataSource pool(int size) throws Exception {
    HikariConfig config = new HikariConfig();
    config.setJdbcUrl("jdbc:postgresql://" + System.getenv("TIDEGATE_PG_TCP_HOST") + ":"
        + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"));
    config.setUsername(System.getenv("PGUSER"));
    config.setMaximumPoolSize(size);
    HikariDataSource pool = new HikariDataSource(config);
    List<Connection> held = new ArrayList<>();  // together: each is a connection of its own
    for (int i = 0; i < size; ++i) held.add(pool.getConnection());
    for (Connection connection : held) connection.close();
    return pool;
  }

  private static double rate(int threads, Turn turn) throws Exception {
    counts = false;
    stop = false;
    ExecutorService executor = Executors.newFixedThreadPool(threads);
    try {
      CountDownLatch ready = new CountDownLatch(threads);
      List<Future<Long>> workers = new ArrayList<>();
      for (int i = 0; i < threads; ++i) {
        workers.add(executor.submit((Callable<Long>) () -> {
          ready.countDown();
          ready.await();
          return work(turn);
        }));
      }
      ready.await();
      pause(Math.max(WARM_UP, seconds / 4));
      long began = System.nanoTime();
      counts = true;
      pause(seconds);
      stop = true;
      long turns = 0;
      for (Future<Long> worker : workers) turns += worker.get();
      return turns / ((System.nanoTime() - began) / 1e9);
    } finally {
      counts = true;
      stop = true;
      executor.shutdownNow();
    }
  }

  private static long work(Turn turn) throws Exception {
    while (!counts) turn.take();
    long turns = 0;
    for (; !stop; ++turns) turn.take();
    return turns;
  }

  private static void pause(double seconds) throws InterruptedException {
    Thread.sleep(Math.round(seconds * 1000));
  }

  private static double lease(int threads, int size) throws Exception {
    try (HikariDataSource pool = pool(size)) {
      return rate(threads, () -> {
        try (Connection connection = pool.getConnection()) {
          if (connection.isClosed()) throw new IllegalStateException("closed");
        }
      });
    }
  }

  // A ring of its own, as the others have it: one writer, one reader, nobody sleeps.
  private static double handover() throws Exception {
    java.util.concurrent.atomic.AtomicReferenceArray<Connection> ring =
        new java.util.concurrent.atomic.AtomicReferenceArray<>(RING_PLACES);
    try (HikariDataSource pool = pool(RING_PLACES + 4)) {
      boolean[] ended = {false};
      Thread other = new Thread(() -> {
        for (int at = 0;; at = (at + 1) % RING_PLACES) {
          Connection connection;
          while ((connection = ring.getAcquire(at)) == null) {
            synchronized (ended) {
              if (ended[0]) return;
            }
            Thread.yield();
          }
          ring.setRelease(at, null);
          try {
            connection.close();
          } catch (Exception error) {
            throw new IllegalStateException(error);
          }
        }
      });
      other.start();
      int[] at = {0};
      double result = rate(1, () -> {
        Connection connection = pool.getConnection();
        while (ring.getAcquire(at[0]) != null) Thread.yield();
        ring.setRelease(at[0], connection);
        at[0] = (at[0] + 1) % RING_PLACES;
      });
      while (ring.getAcquire((at[0] + RING_PLACES - 1) % RING_PLACES) != null) Thread.yield();
      synchronized (ended) {
        ended[0] = true;
      }
      other.join();
      return result;
    }
  }

  private static double select(int threads, int size) throws Exception {
    try (HikariDataSource pool = pool(size)) {
      return rate(threads, () -> {
        int value = ThreadLocalRandom.current().nextInt(1 << 20);
        try (Connection connection = pool.getConnection();
             PreparedStatement one = connection.prepareStatement("select ?::int4")) {
          one.setInt(1, value);
          try (ResultSet rows = one.executeQuery()) {
            rows.next();
            if (rows.getInt(1) != value) throw new IllegalStateException("another number");
          }
        }
      });
    }
  }

  private HikariPeer() {}
}
