package handprint.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
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

    /** Values are written once each, and named by their number. */
    static final class Dictionary {
        private final List<String> values = new ArrayList<>();

        int index(String value) {
            int i = values.indexOf(value);
            if (i < 0) {
                i = values.size();
                values.add(value);
            }
            return i;
        }
    }

    private static final ThreadLocal<ByteBuffer> SCRATCH = ThreadLocal.withInitial(() -> ByteBuffer.allocate(1 << 22));

    byte[] toBytes() {
        Dictionary values = new Dictionary();
        ByteBuffer body = SCRATCH.get().clear();
        for (Series s : series) {
            s.write(body, values);
        }
        byte[][] texts = new byte[values.values.size()][];
        int size = 32 + body.position();
        for (int i = 0; i < texts.length; i++) {
            texts[i] = values.values.get(i).getBytes(StandardCharsets.UTF_8);
            size += 5 + texts[i].length;
        }
        ByteBuffer out = ByteBuffer.allocate(size);
        out.put((byte) state.ordinal()).putDouble(lastChange);
        putVarint(out, texts.length);
        for (byte[] text : texts) {
            putVarint(out, text.length);
            out.put(text);
        }
        putVarint(out, series.size());
        out.put(body.flip());
        byte[] result = new byte[out.position()];
        out.flip().get(result);
        return result;
    }

    static Row fromBytes(byte[] bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        Row row = new Row();
        row.state = State.of(in.get());
        row.lastChange = in.getDouble();
        String[] values = new String[(int) getVarint(in)];
        for (int i = 0; i < values.length; i++) {
            int length = (int) getVarint(in);
            values[i] = new String(bytes, in.position(), length, StandardCharsets.UTF_8);
            in.position(in.position() + length);
        }
        for (long n = getVarint(in); n > 0; n--) {
            row.series.add(Series.read(in, values));
        }
        return row;
    }

    static void putVarint(ByteBuffer out, long n) {
        for (; n > 0x7f; n >>>= 7) {
            out.put((byte) (n | 0x80));
        }
        out.put((byte) n);
    }

    static long getVarint(ByteBuffer in) {
        long n = 0;
        for (int shift = 0; ; shift += 7) {
            byte b = in.get();
            n |= (long) (b & 0x7f) << shift;
            if (b >= 0) {
                return n;
            }
        }
    }
}
