package handprint.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** The forms in which the store and the repartition topic have numbers, times and texts. */
final class Binary {
    private static final double MICROS = 1e6;

    private Binary() {
    }

    static void putVarint(ByteBuffer out, long n) {
        for (; (n & ~0x7fL) != 0; n >>>= 7) {
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

    /** The whole microseconds of a time, or Long.MIN_VALUE if it has others besides. */
    private static long micros(double ts) {
        long n = Math.round(ts * MICROS);
        return Math.abs(n) < 1L << 52 && n / MICROS == ts ? n : Long.MIN_VALUE;
    }

    /** Writes a time as microseconds since the one before, or as it is, and returns what comes before the next. */
    static long putTime(ByteBuffer out, double ts, long before) {
        long n = micros(ts);
        if (n == Long.MIN_VALUE) {
            putVarint(out, 1);
            out.putDouble(ts);
            return before;
        }
        long d = n - before;
        putVarint(out, (d << 1 ^ d >> 63) << 1);
        return n;
    }

    /** Reads times that putTime has written one after the other. */
    static final class Times {
        private long before;

        double next(ByteBuffer in) {
            long n = getVarint(in);
            if ((n & 1) == 1) {
                return in.getDouble();
            }
            n >>>= 1;
            before += n >>> 1 ^ -(n & 1);
            return before / MICROS;
        }
    }

    /** Writes a text; a quoted hexadecimal one, as digests are, in half as many bytes. */
    static void putText(ByteBuffer out, String text) {
        if (isDigest(text)) {
            int n = text.length() / 2 - 1;
            putVarint(out, (long) n << 1 | 1);
            for (int i = 0; i < n; i++) {
                out.put((byte) (Character.digit(text.charAt(1 + 2 * i), 16) << 4 | Character.digit(text.charAt(2 + 2 * i), 16)));
            }
            return;
        }
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        putVarint(out, (long) bytes.length << 1);
        out.put(bytes);
    }

    private static boolean isDigest(String text) {
        int n = text.length();
        if (n < 4 || n % 2 != 0 || text.charAt(0) != '"' || text.charAt(n - 1) != '"') {
            return false;
        }
        for (int i = 1; i < n - 1; i++) {
            char c = text.charAt(i);
            if (!(c >= '0' && c <= '9' || c >= 'a' && c <= 'f')) {
                return false;
            }
        }
        return true;
    }

    private static final byte[] DIGITS = "0123456789abcdef".getBytes(StandardCharsets.ISO_8859_1);

    static String getText(ByteBuffer in) {
        long head = getVarint(in);
        int n = (int) (head >>> 1);
        if ((head & 1) == 1) {
            byte[] text = new byte[2 * n + 2];
            text[0] = text[2 * n + 1] = '"';
            for (int i = 0; i < n; i++) {
                byte b = in.get();
                text[1 + 2 * i] = DIGITS[b >> 4 & 15];
                text[2 + 2 * i] = DIGITS[b & 15];
            }
            return new String(text, StandardCharsets.ISO_8859_1);
        }
        String text = new String(in.array(), in.arrayOffset() + in.position(), n, StandardCharsets.UTF_8);
        in.position(in.position() + n);
        return text;
    }
}
