package handprint.peer;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** All that is known of one (identity, primitive): the series of its attackers, and what was concluded last. */
final class Row {
    State state; // null: nothing yet
    double lastChange;
    final List<Series> series = new ArrayList<>(1);

    /** Takes an observation into the series of its attacker. */
    void take(long attacker, Series.Entry e, Kind kind) {
        for (Series s : series) {
            if (s.attacker == attacker) {
                s.take(e, kind);
                return;
            }
        }
        Series s = new Series(attacker);
        s.take(e, kind);
        series.add(s);
    }

    /** What the mergers say about the union of the series. */
    Conclusion conclude(Kind kind) {
        if (series.size() == 1) {
            Series s = series.get(0);
            return Mergers.conclude(kind, s.count, s.entries, s.gone);
        }
        long count = 0;
        List<Series.Entry> all = new ArrayList<>();
        Map<String, Double> gone = new LinkedHashMap<>();
        for (Series s : series) {
            count += s.count;
            all.addAll(s.entries);
            s.gone.forEach((value, ts) -> gone.merge(value, ts, Math::max));
        }
        all.sort(Comparator.comparingDouble(Series.Entry::ts));
        return Mergers.conclude(kind, count, all, gone);
    }

    /** Numbers of values: those of the registry, then those that stand in the row, once each. */
    static final class Dictionary {
        private final Primitive primitive;
        private final List<String> texts = new ArrayList<>();

        Dictionary(Primitive primitive) {
            this.primitive = primitive;
        }

        int number(String value) {
            int known = primitive.number(value);
            if (known >= 0) {
                return known;
            }
            int i = texts.indexOf(value);
            if (i < 0) {
                i = texts.size();
                texts.add(value);
            }
            return primitive.values() + i;
        }

        String value(int number) {
            int i = number - primitive.values();
            return i < 0 ? primitive.value(number) : texts.get(i);
        }
    }

    private static final ThreadLocal<ByteBuffer> BODY = ThreadLocal.withInitial(() -> ByteBuffer.allocate(1 << 22));
    private static final ThreadLocal<ByteBuffer> WHOLE = ThreadLocal.withInitial(() -> ByteBuffer.allocate(1 << 23));

    byte[] toBytes(Primitive primitive) {
        Dictionary values = new Dictionary(primitive);
        ByteBuffer body = BODY.get().clear();
        for (Series s : series) {
            s.write(body, values);
        }
        ByteBuffer out = WHOLE.get().clear();
        out.put((byte) state.ordinal());
        Binary.putTime(out, lastChange, 0);
        Binary.putVarint(out, values.texts.size());
        for (String text : values.texts) {
            Binary.putText(out, text);
        }
        Binary.putVarint(out, series.size());
        out.put(body.flip());
        return Arrays.copyOf(out.array(), out.position());
    }

    static Row fromBytes(byte[] bytes, Primitive primitive) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        Row row = new Row();
        row.state = State.of(in.get());
        row.lastChange = new Binary.Times().next(in);
        Dictionary values = new Dictionary(primitive);
        for (long n = Binary.getVarint(in); n > 0; n--) {
            values.texts.add(Binary.getText(in));
        }
        for (long n = Binary.getVarint(in); n > 0; n--) {
            row.series.add(Series.read(in, values));
        }
        return row;
    }
}
