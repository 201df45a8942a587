package handprint.peer;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The mergers (docs/attribution.md), with the default thresholds. */
final class Mergers {
    private static final int WINDOW = 5;
    private static final int MINIMUM = 3;
    private static final int MAJORITY = 4;
    private static final double ALPHA = 0.3;
    private static final double DRIFT_SHIFT = 0.30;
    private static final double CONFLICT_CV = 1.0;
    private static final int MOST_ROTATIONS = 2;
    private static final double CAP = 0.6;

    private Mergers() {
    }

    static Conclusion conclude(Kind kind, long count, List<Series.Entry> entries, Map<String, Double> gone) {
        return switch (kind) {
            case NUMERIC -> numeric(count, entries);
            case HASH -> hash(count, entries, gone);
            default -> categorical(count, entries);
        };
    }

    private static Conclusion categorical(long count, List<Series.Entry> entries) {
        int n = entries.size();
        Series.Entry last = entries.get(n - 1);
        if (count < MINIMUM) {
            return new Conclusion(State.UNKNOWN, last.value(), 0, count, last.ts());
        }
        int from = Math.max(0, n - WINDOW);
        List<Series.Entry> recent = entries.subList(from, n);
        List<Series.Entry> older = entries.subList(Math.max(0, from - WINDOW), from);
        String top = top(recent);
        int size = recent.size();
        int most = count(recent, top);
        double confidence = (double) most / size;
        if (!clear(most, size)) {
            int flips = 0;
            Set<String> distinct = new HashSet<>();
            for (int i = 0; i < size; i++) {
                distinct.add(recent.get(i).value());
                if (i > 0 && !recent.get(i).value().equals(recent.get(i - 1).value())) {
                    flips++;
                }
            }
            int repeats = size - 1 - flips;
            if (size >= 4 && distinct.size() == 2 && flips >= 2 * Math.max(repeats, 1)) {
                return new Conclusion(State.MULTI_ACTOR, last.value(), Math.min(confidence, CAP), count, last.ts());
            }
            return new Conclusion(State.CONFLICTED, last.value(), confidence, count, last.ts());
        }
        State state = State.STABLE;
        if (!older.isEmpty()) {
            String before = top(older);
            if (!clear(count(older, before), older.size()) || !before.equals(top)) {
                state = State.DRIFTING;
            }
        }
        return new Conclusion(state, top, confidence, count, last.ts());
    }

    private static boolean clear(int most, int size) {
        return most >= Math.min(MAJORITY, size);
    }

    private static int count(List<Series.Entry> window, String value) {
        int n = 0;
        for (Series.Entry e : window) {
            if (e.value().equals(value)) {
                n++;
            }
        }
        return n;
    }

    /** The most frequent value; of several the one seen first. */
    private static String top(List<Series.Entry> window) {
        String top = null;
        int most = 0;
        for (Series.Entry e : window) {
            int n = count(window, e.value());
            if (n > most) {
                most = n;
                top = e.value();
            }
        }
        return top;
    }

    private static Conclusion numeric(long count, List<Series.Entry> entries) {
        int n = entries.size();
        double ts = entries.get(n - 1).ts();
        if (count < MINIMUM) {
            return new Conclusion(State.UNKNOWN, Canonical.number(number(entries.get(n - 1).value())), 0, count, ts);
        }
        int from = Math.max(0, n - WINDOW);
        double[] recent = numbers(entries.subList(from, n));
        double[] older = numbers(entries.subList(Math.max(0, from - WINDOW), from));
        // Everything below but the value is a ratio, so it is worked out on values
        // divided by the largest: nothing overflows, nothing underflows.
        double scale = 0;
        for (double v : recent) {
            scale = Math.max(scale, Math.abs(v));
        }
        for (double v : older) {
            scale = Math.max(scale, Math.abs(v));
        }
        if (scale == 0) {
            scale = 1;
        }
        double mean = ewma(recent, scale);
        String value = Canonical.number(mean * scale);
        double cv = variation(recent, mean, scale);
        if (cv > CONFLICT_CV) {
            return new Conclusion(State.CONFLICTED, value, 0.5, count, ts);
        }
        State state = State.STABLE;
        if (older.length > 0) {
            double was = ewma(older, scale);
            double shift = was == 0 ? Math.abs(mean) * scale : Math.abs(mean - was) / Math.abs(was);
            if (shift >= DRIFT_SHIFT) {
                state = State.DRIFTING;
            }
        }
        return new Conclusion(state, value, Math.max(0, 1 - Math.min(cv, 1)), count, ts);
    }

    private static double[] numbers(List<Series.Entry> window) {
        double[] out = new double[window.size()];
        for (int i = 0; i < out.length; i++) {
            out[i] = number(window.get(i).value());
        }
        return out;
    }

    private static double number(String value) {
        return switch (value.charAt(0)) {
            case 't' -> 1;
            case 'f', 'n' -> 0;
            default -> Double.parseDouble(value);
        };
    }

    private static double ewma(double[] values, double scale) {
        double s = values[0] / scale;
        for (int i = 1; i < values.length; i++) {
            s = ALPHA * (values[i] / scale) + (1 - ALPHA) * s;
        }
        return s;
    }

    private static double variation(double[] values, double mean, double scale) {
        double sum = 0;
        for (double v : values) {
            double d = v / scale - mean;
            sum += d * d;
        }
        if (mean == 0) {
            return sum == 0 ? 0 : 1e9;
        }
        return Math.sqrt(sum / values.length) / Math.abs(mean);
    }

    private static Conclusion hash(long count, List<Series.Entry> entries, Map<String, Double> gone) {
        Series.Entry last = entries.get(entries.size() - 1);
        double from = last.ts() - Series.HASH_WINDOW;
        Set<String> seen = new HashSet<>();
        for (Series.Entry e : entries) {
            if (e.ts() >= from && !e.value().equals("null")) {
                seen.add(e.value());
            }
        }
        gone.forEach((value, ts) -> {
            if (ts >= from) {
                seen.add(value);
            }
        });
        int rotations = Math.max(0, seen.size() - 1);
        State state = rotations == 0 ? State.STABLE : rotations <= MOST_ROTATIONS ? State.DRIFTING : State.CONFLICTED;
        return new Conclusion(state, last.value(), 1.0 / (1 + rotations), count, last.ts());
    }
}
