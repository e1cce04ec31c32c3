// As UnityEngine.cs, for NUnit, except that its assertions assert: the package's tests run with them.
using System;
using System.Collections.Generic;

namespace NUnit.Framework
{
    public delegate void TestDelegate();

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class TestAttribute : Attribute
    {
    }

    public static class Assert
    {
        public static void AreEqual<T>(T expected, T actual)
        {
            if (!EqualityComparer<T>.Default.Equals(expected, actual))
                throw new Exception("expected " + expected + ", not " + actual);
        }

        public static void IsFalse(bool condition)
        {
            if (condition) throw new Exception("it is true");
        }

        public static void Less(double value, double bound)
        {
            if (value >= bound) throw new Exception(value + " is not below " + bound);
        }

        public static T Throws<T>(TestDelegate code) where T : Exception
        {
            try
            {
                code();
            }
            catch (T error)
            {
                return error;
            }
            throw new Exception("nothing was thrown");
        }
    }

    /// <summary>Runs every [Test] of the assembly in argv[0]; prints their names.</summary>
    public static class Program
    {
        public static int Main(string[] arguments)
        {
            var failed = 0;
            foreach (var type in System.Reflection.Assembly.LoadFrom(arguments[0]).GetTypes())
            {
                foreach (var method in type.GetMethods())
                {
                    if (!method.IsDefined(typeof(TestAttribute), false)) continue;
                    try
                    {
                        method.Invoke(Activator.CreateInstance(type), null);
                        Console.WriteLine("passed " + method.Name);
                    }
                    catch (System.Reflection.TargetInvocationException error)
                    {
                        failed++;
                        Console.WriteLine("failed " + method.Name + ": " + error.InnerException);
                    }
                }
            }
            return failed == 0 ? 0 : 1;
        }
    }
}
