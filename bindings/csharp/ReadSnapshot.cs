// A reader of Partywall snapshots and guarded records in C#, written from PROTOCOL.md alone; section numbers are that page's.
//
//     mcs -unsafe ReadSnapshot.cs && mono ReadSnapshot.exe CHANNEL [COUNT [SECONDS]]
//
// CHANNEL is the channel's directory. Writes the latest value, and then each newer one that it comes to see: COUNT in all (one if
// it is not said), each as a line of its version and its bytes as text. Ends with 0; with 3 if SECONDS (ten) pass without anything
// new, with 5 if there is no channel or it is removed, with 6 if the writer closed it before there were so many, with 7 if
// something is damaged. Nothing is stored, no seat and no lock is taken; so the writer's death is told by time only.
using System;
using System.IO;
using System.IO.MemoryMappedFiles;
using System.Text;
using System.Threading;

class Failure : Exception
{
    public readonly int Code;
    public Failure(int code, string message) : base(message) { Code = code; }
}

// One file, mapped as a whole, to read only.
unsafe class Segment
{
    public readonly string Name;
    public readonly long Size;
    readonly MemoryMappedViewAccessor view; // keeps the pages
    readonly byte* start;

    public Segment(string path)
    {
        Name = Path.GetFileName(path);
        var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        Size = file.Length;
        // Section 7, step 1.
        if (Size < 4096) throw Damaged("it has " + Size + " bytes");
        var memory = MemoryMappedFile.CreateFromFile(file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, false);
        view = memory.CreateViewAccessor(0, Size, MemoryMappedFileAccess.Read);
        byte* pointer = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
        start = pointer + view.PointerOffset;
    }

    public Failure Damaged(string what) { return new Failure(7, Name + ": " + what); }

    byte* At(long offset, int width)
    {
        if (offset < 0 || offset + width > Size || offset % width != 0) throw Damaged("a word at " + offset);
        return start + offset;
    }

    // A load of Volatile is an Acquire load, and one instruction where a long has the width of a register.
    public ulong Word(long offset) { return Volatile.Read(ref *(ulong*)At(offset, 8)); }
    public uint Half(long offset) { return Volatile.Read(ref *(uint*)At(offset, 4)); }
    public ushort Quarter(long offset) { return Volatile.Read(ref *(ushort*)At(offset, 2)); }

    // A copy that may race with the writer; what comes of it is believed only when the mark was looked at again.
    public byte[] Copy(long offset, int length)
    {
        if (offset < 0 || offset + length > Size) throw Damaged("bytes at " + offset);
        var bytes = new byte[length];
        fixed (byte* to = bytes) Buffer.MemoryCopy(start + offset, to, length, length);
        return bytes;
    }
}

// The checked header of section 4, by the steps of sections 7 and 16.1.
class Header
{
    public const uint Initializing = 0, Ready = 1, Broken = 2, Retired = 3, Deleted = 4, Closed = 0x103;
    public readonly uint State;
    public readonly ushort Pattern;
    public readonly ulong Generation, PayloadSize, BaseSeq, Instance;
    public readonly uint RecordSize;
    public readonly bool Checksums;

    public Header(Segment segment, int side)
    {
        State = segment.Half(12); // before all else
        ulong magic = segment.Word(0);
        if (magic == 0 && State == Initializing) throw new Failure(5, segment.Name + " is not complete");
        Expect(segment, magic == 0x4c4c415759545250, "magic");
        Expect(segment, segment.Quarter(8) == 1, "abi_version");
        Expect(segment, segment.Word(64) == 0, "incompatible_features");
        Expect(segment, segment.Quarter(10) == 256, "header_size");
        Expect(segment, State == Ready || State == Broken || State == Retired || State == Closed
            || State == Deleted && side == 3, "state");
        Pattern = segment.Quarter(20);
        Expect(segment, Pattern == 2 || Pattern == 6, "pattern: this reads snapshots and guarded records");
        Expect(segment, segment.Quarter(22) == side, "side");
        Expect(segment, segment.Word(24) == (ulong)segment.Size, "total_size");
        Generation = segment.Word(32);
        Instance = segment.Word(104);
        if (side == 3) return;
        PayloadSize = segment.Word(48);
        RecordSize = segment.Half(56);
        BaseSeq = segment.Word(88);
        Checksums = (segment.Half(16) & 2) != 0;
        uint seats = segment.Half(60), schema = segment.Half(120);
        Expect(segment, segment.Word(40) == 4096, "payload_offset");
        Expect(segment, seats >= 1 && seats <= 64, "seat_count");
        Expect(segment, RecordSize >= 1 && RecordSize <= 1u << 30, "record_size");
        Expect(segment, PayloadSize <= 1ul << 40 && PayloadSize % Stride == 0, "payload_size");
        Expect(segment, Slots >= 2 && (Slots & (Slots - 1)) == 0, "slots");
        Expect(segment, BaseSeq <= 1ul << 62, "base_seq");
        Expect(segment, schema <= 65536, "schema_size");
        Expect(segment, (ulong)segment.Size == Pages(4096 + PayloadSize) + Pages(schema), "size");
    }

    public ulong Stride { get { return (32 + (ulong)RecordSize + 63) & ~63ul; } }
    public ulong Slots { get { return PayloadSize / Stride; } }
    static ulong Pages(ulong bytes) { return (bytes + 4095) & ~4095ul; }

    static void Expect(Segment segment, bool holds, string what)
    {
        if (!holds) throw segment.Damaged(what);
    }
}

class Value
{
    public ulong Version;
    public byte[] Bytes;
}

class Reader
{
    const int Tries = 64;
    readonly string channel;
    Segment root, owner;
    Header header;
    ulong seen;

    public Reader(string channel)
    {
        this.channel = channel;
        root = Open("root");
        if (root == null) throw new Failure(5, "there is no channel in " + channel);
        Join(0);
    }

    // A file of the channel; null if there is none.
    Segment Open(string name)
    {
        try { return new Segment(Path.Combine(channel, name)); }
        catch (FileNotFoundException) { return null; }
        catch (DirectoryNotFoundException) { return null; }
    }

    // Opens the generation that newcomers join (sections 10.1 and 17); what was seen before counts there too.
    void Join(ulong before)
    {
        var checkedRoot = new Header(root, 3);
        for (int tries = 0; tries < 100; tries++)
        {
            if (checkedRoot.State == Header.Deleted || root.Half(12) == Header.Deleted) throw new Failure(5, "the channel was removed");
            ulong current = root.Word(256);
            ulong oldest = root.Word(264);
            if (oldest > current && root.Word(256) != current) continue;
            if (oldest == 0 || oldest > current || current >= 1ul << 55 || current - oldest > 65536) throw root.Damaged("generations");
            var found = Open(current + ".owner");
            if (found == null) { Thread.Sleep(10); continue; } // it went since, or the channel did
            var checkedOwner = new Header(found, 1);
            if (checkedOwner.Generation != current || checkedOwner.Instance != checkedRoot.Instance) throw found.Damaged("another channel's");
            if (checkedOwner.State == Header.Broken) throw found.Damaged("its owner called it broken");
            owner = found;
            header = checkedOwner;
            seen = Math.Min(Math.Max(before, header.BaseSeq), header.BaseSeq + 1);
            return;
        }
        throw new Failure(5, "the generation's files are not there");
    }

    long Slot(ulong version) { return 4096 + (long)((version - 1 & header.Slots - 1) * header.Stride); }

    // Section 16.4: null if the slot has another mark, which is `mark` then.
    Value Copy(ulong version, out ulong mark)
    {
        long slot = Slot(version);
        mark = owner.Word(slot);
        if (mark != 2 * version) return null;
        ulong info = owner.Word(slot + 8);
        ulong checksum = owner.Word(slot + 24);
        uint length = (uint)info;
        byte[] bytes = length <= header.RecordSize ? owner.Copy(slot + 32, (int)length) : null;
        Thread.MemoryBarrier(); // at least a fence Acquire
        mark = owner.Word(slot);
        if (mark != 2 * version) return null;
        if (bytes == null) throw owner.Damaged("version " + version + " has " + length + " bytes");
        if (header.Checksums && checksum != Crc32(bytes)) throw owner.Damaged("version " + version + " has another checksum");
        return new Value { Version = version, Bytes = bytes };
    }

    // Section 16.5, of a mark that is more than was wanted.
    void Judge(ulong version, ulong mark)
    {
        ulong at = mark - mark / 2, whole = mark / 2;
        Thread.MemoryBarrier();
        ulong latest = owner.Word(256);
        bool written = latest >= header.BaseSeq && latest <= 1ul << 62
            && (latest == header.BaseSeq || owner.Word(Slot(latest)) >= 2 * latest);
        if (!written || Slot(at) != Slot(version) || whole > latest + 1) throw owner.Damaged("mark " + mark + " of version " + version);
    }

    // The latest value, section 17; null before the first.
    Value Latest()
    {
        for (int tries = 0; tries < Tries; tries++)
        {
            ulong version = owner.Word(256), mark;
            if (version < seen || version > 1ul << 62) throw owner.Damaged("write_seq " + version);
            if (version == header.BaseSeq) return null;
            var value = Copy(version, out mark);
            if (value != null)
            {
                seen = version;
                return value;
            }
            if (mark < 2 * version) throw owner.Damaged("mark " + mark + " of version " + version);
            Judge(version, mark);
        }
        throw new Failure(3, "the writer is too fast: more slots would help");
    }

    // The next value that is newer than the last; whatever is there at first.
    public Value Next(ulong last, TimeSpan patience)
    {
        var until = DateTime.UtcNow + patience;
        while (true)
        {
            // The state before the value: what it ends was there before it.
            uint state = owner.Half(12);
            var value = Latest();
            if (value != null && value.Version > last) return value;
            if (state == Header.Closed) throw new Failure(6, "the writer closed it");
            if (state == Header.Retired) { Join(last); continue; }
            if (state != Header.Ready) throw owner.Damaged("state " + state);
            if (root.Half(12) == Header.Deleted) throw new Failure(5, "the channel was removed");
            if (DateTime.UtcNow >= until) throw new Failure(3, "nothing new came");
            // A reader without a seat looks again by itself (section 17).
            Thread.Sleep(1);
        }
    }

    // The CRC-32 of zlib.
    static uint Crc32(byte[] bytes)
    {
        uint sum = 0xffffffff;
        foreach (byte one in bytes)
        {
            sum ^= one;
            for (int bit = 0; bit < 8; bit++) sum = (sum & 1) != 0 ? sum >> 1 ^ 0xedb88320 : sum >> 1;
        }
        return ~sum;
    }
}

static class ReadSnapshot
{
    static int Main(string[] arguments)
    {
        if (arguments.Length < 1)
        {
            Console.Error.WriteLine("ReadSnapshot CHANNEL [COUNT [SECONDS]]");
            return 2;
        }
        long count = arguments.Length > 1 ? long.Parse(arguments[1]) : 1;
        var patience = TimeSpan.FromSeconds(arguments.Length > 2 ? double.Parse(arguments[2]) : 10);
        var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false));
        try
        {
            var reader = new Reader(arguments[0]);
            ulong last = 0;
            for (; count > 0; count--)
            {
                var value = reader.Next(last, patience);
                last = value.Version;
                output.Write("{0} {1}\n", value.Version, Encoding.UTF8.GetString(value.Bytes));
            }
            return 0;
        }
        catch (Failure failure)
        {
            Console.Error.WriteLine(failure.Message);
            return failure.Code;
        }
        finally
        {
            output.Flush();
        }
    }
}
