// Prints what the C# core believes of the C header: sizes, offsets, constants, functions. Needs no library.
using System;
using System.Reflection;
using System.Runtime.InteropServices;

internal static class Layout
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static;

    private static void Main()
    {
        var native = typeof(Shotstream.ShotstreamConnection).Assembly.GetType("Shotstream.Native");
        foreach (var type in native.GetNestedTypes())
        {
            Console.WriteLine("struct {0} {1}", type.Name, Marshal.SizeOf(type));
            foreach (var field in type.GetFields())
                Console.WriteLine("field {0} {1} {2}", type.Name, field.Name, Marshal.OffsetOf(type, field.Name));
        }
        foreach (var constant in native.GetFields(All))
        {
            if (constant.Name != "Library" && constant.Name != "C")
                Console.WriteLine("const {0} {1}", constant.Name, constant.GetRawConstantValue());
        }
        foreach (var constant in typeof(Shotstream.ConnectionEvent).GetFields())
            Console.WriteLine("const Event{0} {1}", constant.Name, constant.GetRawConstantValue());
        foreach (var method in native.GetMethods(All))
        {
            if (method.IsDefined(typeof(DllImportAttribute), false)) Console.WriteLine("import {0}", method.Name);
        }
    }
}
