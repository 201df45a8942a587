package handprint.peer;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What is kept of one attacker's observations of one primitive: the newest 32, and the count of all. */
final class Series {
    static final int KEPT = 32;
    static final double HASH_WINDOW = 24 * 3600;
    static final int HASH_VALUES = 4096;

    /** One observation. */
    record Entry(double ts, long evidence, String value) {
    }

    final long attacker; // hash of the attacker
    long count;
    final List<Entry> entries = new ArrayList<>(); // by ts, then by arrival
    final Map<String, Double> gone = new HashMap<>(); // HASH: latest ts of values that were pushed out

    Series(long attacker) {
        this.attacker = attacker;
    }

    void take(Entry e, Kind kind) {
        for (int i = 0; i < entries.size(); i++) {
            if (entries.get(i).evidence == e.evidence) {
                // Keeps its place among equals, so an unchanged ts stays where it is.
                if (entries.get(i).ts == e.ts) {
                    entries.set(i, e);
                } else {
                    entries.remove(i);
                    insert(e);
                }
                forget(kind);
                return;
            }
        }
        count++;
        if (entries.size() >= KEPT && e.ts < entries.get(0).ts) {
            return;
        }
        insert(e);
        if (entries.size() > KEPT) {
            Entry out = entries.remove(0);
            if (kind == Kind.HASH && !out.value.equals("null")) {
                gone.merge(out.value, out.ts, Math::max);
            }
        }
        forget(kind);
    }

    private void insert(Entry e) {
        int at = entries.size();
        while (at > 0 && e.ts < entries.get(at - 1).ts) {
            at--;
        }
        entries.add(at, e);
    }

    private void forget(Kind kind) {
        if (kind != Kind.HASH || gone.isEmpty()) {
            return;
        }
        double from = entries.get(entries.size() - 1).ts - HASH_WINDOW;
        gone.values().removeIf(ts -> ts < from);
        while (gone.size() > HASH_VALUES) {
            gone.remove(gone.entrySet().stream().min(Map.Entry.<String, Double>comparingByValue()
                    .thenComparing(Map.Entry.comparingByKey())).orElseThrow().getKey());
        }
    }

    void write(ByteBuffer out, Row.Dictionary values) {
        out.putLong(attacker);
        Binary.putVarint(out, count);
        out.put((byte) entries.size());
        long before = 0;
        for (Entry e : entries) {
            before = Binary.putTime(out, e.ts, before);
            out.putLong(e.evidence);
            Binary.putVarint(out, values.number(e.value));
        }
        Binary.putVarint(out, gone.size());
        for (Map.Entry<String, Double> g : gone.entrySet()) {
            Binary.putVarint(out, values.number(g.getKey()));
            before = Binary.putTime(out, g.getValue(), before);
        }
    }

    static Series read(ByteBuffer in, Row.Dictionary values) {
        Series s = new Series(in.getLong());
        s.count = Binary.getVarint(in);
        Binary.Times times = new Binary.Times();
        for (int n = in.get(); n > 0; n--) {
            s.entries.add(new Entry(times.next(in), in.getLong(), values.value((int) Binary.getVarint(in))));
        }
        for (long n = Binary.getVarint(in); n > 0; n--) {
            String value = values.value((int) Binary.getVarint(in));
            s.gone.put(value, times.next(in));
        }
        return s;
    }
}
